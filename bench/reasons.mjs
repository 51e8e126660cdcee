/** Why a figure is not reached, as far as it is known: by profiles and by what the other figures of the run say. */
export const reasons = {
  'hot.nothing':
    'the floor, which reads the header and looks a token up in a Map, is no nearer to it: what is left is the price of any look at a header on Express',
}
