const { exports: entries } = require('express-kickout/package.json')

const subpaths = Object.keys(entries).filter((subpath) => subpath !== './package.json')

test.each(subpaths)('requires %s', (subpath) => {
  const loaded = require(`express-kickout${subpath.slice(1)}`)
  expect(typeof loaded).toBe('object')
})
