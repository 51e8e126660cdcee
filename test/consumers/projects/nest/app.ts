import './main.js'
import './ask.js'
