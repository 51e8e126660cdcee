// With `--import`: appends the URL of every module loaded from then on to the file named by LOADED_MODULES.
import { register } from 'node:module'

register('./record-loads-hooks.mjs', import.meta.url)
