import { readFileSync } from 'node:fs'
import { answer } from '../processes/child.mjs'
import { pressWithAutocannon } from './autocannon.mjs'
import { floodWithGarbage } from './garbage.mjs'
import { grantAsFastAsPossible } from './grant.mjs'
import { pressWithProofs } from './proofs.mjs'
import { refreshAsFastAsPossible, refreshEach } from './refresh.mjs'
import { pressSteadily } from './steady.mjs'
import { pressWithWrk } from './wrk.mjs'

let tokens
let tokensFile
let press

/** One generator for all contenders of a race, so that it is warm and the same for each. */
answer({
  start(config) {
    tokensFile = config.tokensFile
    tokens = tokensFile && readFileSync(tokensFile, 'utf8').trim().split('\n')
    press = config.tool === 'wrk' ? pressWithWrk : pressWithAutocannon
    return {}
  },
  /** Uses the tokens in turn from `offset` on. */
  async press(job) {
    return press({ connections: 32, tokens, tokensFile, ...job })
  },
  pressSteadily: (job) => pressSteadily({ tokens, ...job }),
  pressWithProofs,
  refresh: refreshAsFastAsPossible,
  refreshEach,
  grant: grantAsFastAsPossible,
  flood: floodWithGarbage,
})
