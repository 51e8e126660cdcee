import ts from 'typescript'

const AsyncFunction = Object.getPrototypeOf(async () => undefined).constructor as new (
  ...parameters: string[]
) => (...values: unknown[]) => Promise<unknown>

/**
 * Runs a sample of a page as it stands there. Only the addresses are those of the test.
 *
 * @param load - does the imports, since jest finds modules for its own files alone: `async (name) => import(name)`
 * @param given - what the sample takes for granted
 * @param wanted - the name of what the sample makes
 */
export async function runBlock(
  code: string,
  load: (name: string) => Promise<unknown>,
  {
    addresses = [],
    given = {},
    wanted,
  }: { addresses?: [string, string][]; given?: object; wanted: string },
): Promise<unknown> {
  const moved = addresses.reduce((text, [from, to]) => text.replaceAll(from, to), code)
  const script = ts
    .transpile(moved, { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext })
    .replace(/^export /gm, '')
    .replace(/^import ([^;]*?) from '([^']*)';?$/gm, (_all, names: string, from: string) =>
      names.startsWith('{')
        ? `const ${names.replaceAll(' as ', ': ')} = await load('${from}');`
        : `const { default: ${names} } = await load('${from}');`,
    )
  const run = new AsyncFunction('load', ...Object.keys(given), `${script}\nreturn ${wanted}`)
  return run(load, ...Object.values(given))
}
