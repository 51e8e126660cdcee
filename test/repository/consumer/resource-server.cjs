// A CommonJS resource server that uses the main entry only; prints every file that was loaded.
const express = require('express')
const { memoryRevocations, requireAuth } = require('express-kickout')

const options = { issuer: 'https://login.example.com', audience: 'https://api.example.com' }
const revocations = memoryRevocations({ issuer: options.issuer })
express().use(requireAuth({ ...options, revocations }))

console.log(JSON.stringify(Object.keys(require.cache)))
