// node webpack.cjs <entry>: one file in out/
const webpack = require('webpack')

const [entry] = process.argv.slice(2)
const isPage = entry === 'page.mjs'
webpack(
  {
    mode: 'production',
    target: isPage ? 'web' : 'node20',
    entry: `./${entry}`,
    output: { path: `${__dirname}/out`, filename: `webpack-${entry}.cjs` },
    externals: { express: 'commonjs express' },
    optimization: { minimize: false },
    performance: false,
  },
  (error, stats) => {
    const problems = error ?? stats.toString({ all: false, errors: true, warnings: true })
    if (problems) {
      console.error(problems)
      process.exitCode = 1
    }
  },
)
