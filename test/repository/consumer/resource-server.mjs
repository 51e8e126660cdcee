// A resource server that uses the main entry only; its last line is every CommonJS file that was loaded.
import { createRequire } from 'node:module'
import express from 'express'
import { memoryRevocations, requireAuth } from 'express-kickout'

const options = { issuer: 'https://login.example.com', audience: 'https://api.example.com' }
const revocations = memoryRevocations({ issuer: options.issuer })
express().use(requireAuth({ ...options, revocations }))

console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache)))
