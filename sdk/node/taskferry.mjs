// Workers in Node for Taskferry: functions become tools that MCP clients call. docs/WORKERS.md says how to write them, and
// docs/CONTRACT.md what this file says to Redis. From top to bottom: what tools use; settings; the log; connections and calls;
// the thread that keeps leases; one attempt; the worker.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { availableParallelism, hostname } from 'node:os'
import { isMainThread, parentPort, Worker as Thread, workerData } from 'node:worker_threads'
import { createClient, ErrorReply } from 'redis'

export const VERSION = '0.1.0'
const MAJOR = 3 // of the contract: another one has other keys and calls
const GROUP = 'workers'
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']
const sleep = ms => new Promise(wake => setTimeout(wake, ms))
const jittered = ms => ms * (0.5 + Math.random() / 2)

// ---------------------------------------------------------------------------------------------------------------------------
// What tools use

/** The tool did its work and it failed; the caller's model reads the text. It is not attempted again. */
export class ToolError extends Error {}

/** The attempt failed, and another one may succeed: after so many seconds, or else after the tool's backoff. */
export class Retry extends Error {
  constructor(message, { after } = {}) {
    super(message)
    this.after = after
  }
}

/** The call itself was wrong: it ends with this JSON-RPC error. */
export class RpcError extends Error {
  constructor(code, message) {
    super(message)
    this.code = code
  }
}

/** A question has no answer: the client cannot be asked this, or answered with an error. */
export class AskError extends ToolError {}

/** The attempt must stop: `reason` says why. Clean up, and let it pass. */
export class Stopped extends Error {
  constructor(reason) {
    super(reason)
    this.name = 'AbortError'
    this.reason = reason
  }
}

/** This worker cannot work with this Redis; the text says what to do. */
export class CannotWork extends Error {}

/** Settings that cannot be used; the text has a line for each. */
export class SettingsError extends Error {}

/** A whole CallToolResult, which goes to the client as it is. */
export class Result {
  constructor(fields) {
    Object.assign(this, fields)
  }
}

/** One entry of a result's `content`. */
export class Content {
  constructor(fields) {
    Object.assign(this, fields)
  }
}
const base64 = data => Buffer.from(data).toString('base64')
export const text = said => new Content({ type: 'text', text: said })
export const image = (data, mimeType = 'image/png') => new Content({ type: 'image', data: base64(data), mimeType })
export const audio = (data, mimeType = 'audio/wav') => new Content({ type: 'audio', data: base64(data), mimeType })
export const blob = (uri, data, mimeType = 'application/octet-stream') =>
  new Content({ type: 'resource', resource: { uri, mimeType, blob: base64(data) } })

/** Questions: each makes one. */
export const elicitation = (message, requestedSchema) =>
  ({ method: 'elicitation/create', params: { mode: 'form', message, requestedSchema } })
export const openPage = (message, url) => ({ method: 'elicitation/create', params: { mode: 'url', message, url } })
export const sampling = params => ({ method: 'sampling/createMessage', params })
export const roots = () => ({ method: 'roots/list', params: {} })

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value)

function checkQuestion(key, { method, params }, capabilities) {
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(key)) throw new AskError(`the key ${key} of a question is not 1 to 64 of A-Z a-z 0-9 _ . -`)
  if (params?.mode === 'url' && !/^https?:\/\//.test(params.url)) throw new AskError('the url of a page must begin with https:// or http://')
  const kind = String(method).split('/')[0]
  if (!['elicitation', 'sampling', 'roots'].includes(kind)) {
    throw new AskError(`${method} is not a question: use elicitation, openPage, sampling or roots`)
  }
  const declared = capabilities[kind]
  let lacking = isObject(declared) ? undefined : kind
  if (!lacking && kind === 'elicitation') {
    const mode = params.mode ?? 'form'
    // A client that names no mode takes forms.
    if (!(mode in declared) && !(mode === 'form' && !('url' in declared))) lacking = `elicitation.${mode}`
  }
  if (!lacking && kind === 'sampling' && (params.tools || params.toolChoice) && !declared.tools) lacking = 'sampling.tools'
  if (lacking) throw new AskError(`the client cannot be asked: it does not declare the capability ${lacking}`)
}

function readAnswer(stored) {
  const answer = JSON.parse(stored)
  if (isObject(answer) && Object.keys(answer).join() === 'error') {
    throw new AskError(`the client answered with error ${answer.error?.code}: ${answer.error?.message ?? ''}`)
  }
  return answer
}

const DEEPEST = 96 // levels of JSON: front ends wrap it in a few more, and clients read 100
const SUMMARY = 500 // characters of an error's text are the status message of its task
const HALF = /\p{Surrogate}/u
const readable = said => String(said).replace(/\p{Surrogate}/gu, '\ufffd')

/** JSON that every client can read; throws for what is none. */
function dump(value) {
  const check = (part, level) => {
    if (level > DEEPEST + 2) throw new Error(`it has values nested deeper than ${DEEPEST} levels`)
    if (typeof part === 'string' && HALF.test(part)) throw new Error('a text in it has half of a surrogate pair')
    if (typeof part === 'number' && !Number.isFinite(part)) throw new Error(`${part} is no JSON`)
    if (typeof part === 'object' && part !== null) {
      for (const [name, inner] of Object.entries(part)) {
        if (HALF.test(name)) throw new Error('a name in it has half of a surrogate pair')
        check(inner, level + 1)
      }
    }
  }
  check(value, 1)
  return JSON.stringify(value)
}

const summaryOf = said => {
  const characters = [...said.trim()]
  return characters.length <= SUMMARY ? characters.join('') : `…${characters.slice(1 - SUMMARY).join('')}`
}

/** How a job ends, as `finish` stores it. */
const outcome = (status, field, payload, isError = '', message = '') => ({
  payload, message, args: [status, field, payload, isError], word: isError === '1' ? 'tool error' : status
})
const errorOutcome = said =>
  outcome('completed', 'result', dump({ content: [text(readable(said))], isError: true }), '1', summaryOf(readable(said)))
const failedOutcome = (message, code = -32603) =>
  outcome('failed', 'error', dump({ code, message: readable(message) }), '', readable(message))

function bounded(made, most) {
  const bytes = Buffer.byteLength(made.payload)
  if (bytes <= most) return made
  return errorOutcome(`the result is too large: ${bytes} bytes of JSON, and the worker stores up to ${most} (its setting max_result)`)
}

/** What a tool returned, as an outcome. What cannot be one is an error that says why. */
function outcomeOf(value, structured, most) {
  try {
    let result
    if (value === undefined || value === null) result = { content: [] }
    else if (typeof value === 'string') result = { content: [text(value)] }
    else if (value instanceof Content) result = { content: [value] }
    else if (value instanceof Result) result = checkedResult(value)
    else if (Array.isArray(value) && value.length && value.every(item => item instanceof Content)) result = { content: value }
    else if (isObject(value)) result = { content: [text(dump(value))], structuredContent: value }
    else {
      const kind = Array.isArray(value) ? 'an array' : `a ${typeof value}`
      throw new Error(`it is ${kind}; return a string, an object, nothing, a Content such as image(…), an array of these, or a Result`)
    }
    const isError = result.isError === true
    if (structured && !isError && !('structuredContent' in result)) {
      throw new Error('its tool has an outputSchema, so it must be an object')
    }
    const said = result.content.filter(item => item.type === 'text').map(item => item.text).join('\n')
    return bounded(outcome('completed', 'result', dump(result), isError ? '1' : '0', isError ? summaryOf(said) : ''), most)
  } catch (fault) {
    return errorOutcome(`the tool's result cannot be used: ${fault.message}`)
  }
}

function checkedResult(result) {
  if (!Array.isArray(result.content)) throw new Error('its content is not an array')
  for (const item of result.content) {
    if (!isObject(item) || typeof item.type !== 'string') throw new Error('an entry of its content is not an object with a string type')
    if (item.type === 'text' && typeof item.text !== 'string') throw new Error('a text entry of its content has no string text')
  }
  for (const name of ['structuredContent', '_meta']) {
    if (name in result && !isObject(result[name])) throw new Error(`its ${name} is not an object`)
  }
  if (!['undefined', 'boolean'].includes(typeof result.isError)) throw new Error('its isError is neither true nor false')
  return result
}

// ---------------------------------------------------------------------------------------------------------------------------
// Settings: what the constructor is given, or else the environment, under the names of the worker in Rust

const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 }
const SIZES = { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20 }
const duration = said => {
  const found = typeof said === 'number' ? [0, said, 's'] : /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(said)
  if (!found) throw new Error('must be a number of seconds, or like 500ms, 15s or 10m')
  return Number(found[1]) * UNITS[found[2]]
}
const bytes = said => {
  const found = /^(\d+)(B|KiB|MiB|)$/.exec(String(said))
  if (!found) throw new Error('must be a number of bytes, or like 16MiB')
  return Number(found[1]) * SIZES[found[2]]
}
const whole = said => {
  if (!/^\d+$/.test(String(said))) throw new Error('must be a whole number')
  return Number(said)
}
const flag = said => {
  if ([true, '1', 'true'].includes(said)) return true
  if ([false, '', '0', 'false'].includes(said)) return false
  throw new Error('must be true or false')
}
const camel = name => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

function readSettings(given) {
  const faults = []
  const take = (name, fallback, parse = String, least = 0, most = Infinity) => {
    const said = given[camel(name)] ?? process.env[`TASKFERRY_${name.toUpperCase()}`]
    if (said === undefined) return fallback
    try {
      const value = parse(said)
      if (typeof value === 'number' && !(value >= least && value <= most)) throw new Error(`must be from ${least} to ${most}`)
      return value
    } catch (fault) {
      faults.push(`${name}: ${fault.message}`)
      return fallback
    }
  }
  const file = name => take(name, undefined, path => readFileSync(path, 'utf8'))
  const once = take('once', false, flag)
  const settings = {
    redisUrl: take('redis_url', 'redis://127.0.0.1:6379/0'),
    username: take('redis_username'),
    password: file('redis_password_file')?.trim() ?? take('redis_password'),
    ca: file('redis_ca_file'),
    cert: file('redis_cert_file'),
    key: file('redis_key_file'),
    prefix: take('redis_prefix', 'tf'),
    shards: take('redis_shards', 1, whole, 1, 1024),
    redisTimeout: take('redis_timeout', 3, duration, 0.01, 300) * 1000,
    slots: take('slots', availableParallelism(), whole, 1, 1024),
    lease: take('lease', 15, duration, 1, 600) * 1000,
    drainTimeout: take('drain_timeout', 5, duration, 0, 86400) * 1000,
    maxJobs: take('max_jobs', once ? 1 : undefined, whole, 1),
    idleExit: take('idle_exit', once ? 5 : undefined, duration, 1, 86400) * 1000,
    maxResult: take('max_result', 16 << 20, bytes, 1 << 10, 256 << 20),
    parkAfter: take('park_after', 60, duration, 0, 86400) * 1000,
    role: take('role', 'worker'),
    scripts: take('scripts'),
    log: take('log', 'info').split(',')[0]
  }
  if (!['worker', 'foreign-worker'].includes(settings.role)) faults.push('role: must be worker or foreign-worker')
  if (!/^[A-Za-z0-9_-]{1,40}$/.test(settings.prefix)) faults.push('redis_prefix: must be 1 to 40 of A-Z a-z 0-9 _ -')
  if (!URL.canParse(settings.redisUrl)) faults.push('redis_url: is no URL')
  if (faults.length) throw new SettingsError(faults.join('\n'))
  return settings
}

// ---------------------------------------------------------------------------------------------------------------------------
// The log: JSON on standard error, of the same shape as that of the worker in Rust. It holds no argument, no result, no text
// that a tool gives its caller, and of a task's id a digest alone.

const SHOWN = { debug: 0, info: 1, warn: 2, error: 3, off: 4 }
const log = { least: SHOWN.info }
const digest = id => createHash('sha256').update(id).digest('hex').slice(0, 16)

function say(target, level, message, fields = {}) {
  if (SHOWN[level] < log.least) return
  const line = { timestamp: new Date().toISOString(), level: level.toUpperCase(), target: `taskferry.${target}`, fields: { message, ...fields } }
  process.stderr.write(`${JSON.stringify(line).replace(/[\u007f-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`)
}

// ---------------------------------------------------------------------------------------------------------------------------
// Connections and calls

const PASSES = /^(LOADING|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|READONLY|NOSCRIPT|OOM|NOGROUP|BUSY|MISCONF|NOREPLICAS|UNBLOCKED|NOPERM|NOAUTH|WRONGPASS)\b/
const isReply = fault => fault instanceof ErrorReply
/** Whether the same call may succeed later: Redis is away, or not ready, or somebody must put a right back. */
const mayPass = fault =>
  isReply(fault) ? PASSES.test(fault.message) : !(fault instanceof CannotWork || fault instanceof TypeError || fault instanceof ReferenceError)
const isDenied = fault => /^NOPERM/.test(fault?.message)

/** What to do, if Redis refuses this user or password, or asks for one. */
function remedy(fault) {
  const [code] = /^(WRONGPASS|NOAUTH)/.exec(fault.message) ?? []
  if (!code) return ''
  const what = code === 'NOAUTH' ? 'a password' : 'the right user and password'
  return `: give ${what}, in TASKFERRY_REDIS_PASSWORD_FILE (the path of a file) or TASKFERRY_REDIS_PASSWORD, with a user in TASKFERRY_REDIS_USERNAME, or in the URL: redis://user:password@host:port/db`
}

/** Redis has no library of functions. One that lost its data gets it again by the next front end. */
class NoLibrary extends CannotWork {}

class UnknownReply extends CannotWork {
  constructor(call, reply) {
    super(`Redis answered ${call} with ${JSON.stringify(reply)?.slice(0, 80)}, which this worker does not know: its contract is newer than ${MAJOR}.x as this package knows it. Upgrade the package taskferry`)
  }
}

/** One connection, made when it is needed. A call that fails, or takes too long, ends it: what it was for is made again over
 * the next one, by whoever knows whether it may be. */
class Connection {
  constructor(settings, timeout = settings.redisTimeout, options = {}) {
    Object.assign(this, { settings, timeout, options })
  }

  async client() {
    this.opening ??= this.open().catch(fault => {
      this.opening = undefined
      throw fault
    })
    return this.opening
  }

  async open() {
    const { redisUrl, username, password, ca, cert, key, redisTimeout } = this.settings
    const tls = redisUrl.startsWith('rediss:') ? { tls: true, ca, cert, key } : {}
    const unix = redisUrl.startsWith('unix:')
    const client = createClient({
      ...(unix ? {} : { url: redisUrl }),
      ...(username ? { username } : {}),
      ...(password ? { password } : {}),
      RESP: 2,
      disableOfflineQueue: true,
      socket: { ...(unix ? { path: new URL(redisUrl).pathname } : {}), ...tls, connectTimeout: redisTimeout, reconnectStrategy: false },
      ...this.options
    })
    let failed
    client.on('error', fault => {
      failed = fault
      if (this.live === client) this.drop()
    })
    try {
      await client.connect()
    } catch (fault) {
      throw failed ?? fault
    }
    this.live = client
    return client
  }

  drop() {
    const client = this.live
    this.live = this.opening = undefined
    try {
      client?.destroy()
    } catch {} // It was closed.
    this.dropped?.()
  }

  async send(...parts) {
    const client = await this.client()
    let timer
    const late = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error(`Redis did not answer within ${this.timeout} ms`)), this.timeout)
    })
    const answer = client.sendCommand(parts.map(String))
    answer.catch(() => {})
    try {
      return await Promise.race([answer, late])
    } catch (fault) {
      if (!isReply(fault) && this.live === client) this.drop()
      throw fault
    } finally {
      clearTimeout(timer)
    }
  }
}

const LARGE = 65536

/** Makes the calls of the contract: as functions, or as the scripts that `taskferry contract print --eval` printed. */
class Calls {
  constructor(settings) {
    this.connection = new Connection(settings)
    // What is large travels for itself, so that it holds nothing up.
    this.large = new Connection(settings, settings.redisTimeout + 30_000)
    if (!settings.scripts) return
    let printed
    try {
      printed = JSON.parse(readFileSync(settings.scripts, 'utf8'))
      this.scripts = new Map(printed.scripts.map(script => [script.name, script]))
    } catch (fault) {
      throw new CannotWork(`${settings.scripts} is not what taskferry contract print --eval prints: ${fault.message}`)
    }
    if (!String(printed.contract).startsWith(`${MAJOR}.`)) {
      throw new CannotWork(`${settings.scripts} has the scripts of contract ${printed.contract}, this worker needs ${MAJOR}.x`)
    }
  }

  /** Makes a call; returns tag and rest of its reply. */
  async call(name, keys, ...args) {
    const tail = [keys.length, ...keys, ...args]
    const connection = args.some(arg => String(arg).length > LARGE) ? this.large : this.connection
    let reply
    if (!this.scripts) reply = await connection.send('FCALL', `tf${MAJOR}_${name}`, ...tail)
    else {
      const script = this.scripts.get(name)
      try {
        reply = await connection.send('EVALSHA', script.sha1, ...tail)
      } catch (fault) {
        if (!/^NOSCRIPT/.test(fault.message)) throw fault
        await connection.send('SCRIPT', 'LOAD', script.source)
        reply = await connection.send('EVALSHA', script.sha1, ...tail)
      }
    }
    if (!Array.isArray(reply) || !reply.length) throw new UnknownReply(name, reply)
    const [tag, ...rest] = reply.map(String)
    return { tag, rest }
  }

  send(...parts) {
    return this.connection.send(...parts)
  }

  close() {
    this.connection.drop()
    this.large.drop()
  }
}

const pairs = flat => {
  const found = {}
  for (let i = 0; i + 1 < flat.length; i += 2) found[flat[i]] = flat[i + 1]
  return found
}

/** Makes a call again until Redis answers, or until this time. Says also whether it took more than one try: then a refusal
 * means that an earlier one was done. */
async function persist(call, until) {
  for (let pause = 50, repeated = false; ; repeated = true, pause = Math.min(pause * 2, 2000)) {
    try {
      return { ...(await call()), repeated }
    } catch (fault) {
      if (!mayPass(fault) || Date.now() > until) throw fault
      say('worker', 'warn', 'a call to Redis failed; trying again', { error: fault.message })
    }
    await sleep(jittered(pause))
  }
}

/** What Redis says to an attempt that may not write any more, and what that is in the log. */
const REFUSALS = { CANCELLED: 'cancelled', DONE: 'not needed', GONE: 'expired', STALE: 'lost lease' }

// ---------------------------------------------------------------------------------------------------------------------------
// Leases are kept by a thread of their own, so that a tool which computes for long does not lose its job. One that has run into
// an endless loop does, a lease after its timeout.

function keepLeases({ settings }) {
  log.least = SHOWN[settings.log] ?? SHOWN.info
  const calls = new Calls(settings)
  const kept = new Map()
  let listening = false
  let ticked = Date.now()
  let blind = true
  // Whoever does not listen is taken for dead, unless it renews. What the main thread hears of its subscription is unknown while a
  // tool blocks it.
  setInterval(() => {
    const before = blind
    blind = !listening || Date.now() - ticked > 1500
    if (blind && !before) for (const key of kept.keys()) renew(key)
  }, 250)

  const renew = async key => {
    const attempt = kept.get(key)
    if (!attempt) return
    clearTimeout(attempt.timer)
    if (attempt.until !== null && Date.now() > attempt.until + settings.lease) {
      return say('worker', 'error', 'a tool blocks its worker past its timeout; its lease is not kept any more')
    }
    let next = settings.lease / 3
    try {
      const reply = await calls.call('renew_lease', attempt.keys, ...attempt.args)
      parentPort.postMessage({ key, reply })
      if (reply.tag !== 'OK') return
      attempt.failing = 200
      next = blind ? Math.min(1000, next) : jittered(next)
    } catch (fault) {
      if (fault instanceof CannotWork) return parentPort.postMessage({ key, fault: fault.message })
      say('worker', 'warn', 'a lease could not be renewed; the tool goes on', { error: fault.message })
      next = attempt.failing = Math.min(attempt.failing * 2, next)
    }
    if (kept.get(key) !== attempt) return
    clearTimeout(attempt.timer)
    attempt.timer = setTimeout(renew, next, key)
  }

  const connect = () => calls.connection.client().then(() => parentPort.postMessage({ ready: true }), () => setTimeout(connect, 200))
  connect()
  parentPort.on('message', ({ what, key, ...more }) => {
    const attempt = kept.get(key)
    if (what === 'add') {
      kept.set(key, { ...more, failing: 200, timer: setTimeout(renew, settings.lease / 3, key) })
    } else if (what === 'listening') listening = more.listening
    else if (what === 'tick') ticked = Date.now()
    if (!attempt) return
    if (what === 'until') attempt.until = more.until
    else if (what === 'renew') renew(key)
    else if (what === 'remove') {
      clearTimeout(attempt.timer)
      kept.delete(key)
    }
  })
}

// ---------------------------------------------------------------------------------------------------------------------------
// One attempt

const TIMED_OUT = 'timed out'
const HALTED = 'the worker stops'
const PARKED = 'parked'
const BROKEN = 'the worker cannot go on'
const REPORT_PACE = 50
const LINES_WAITING = 256
const LONGEST_LINE = 8192
const LONGEST_MESSAGE = 1000

class Attempt {
  constructor(worker, tool, claimed, queue) {
    const { job } = claimed
    Object.assign(this, { worker, tool, claimed, queue, job, id: claimed.id, number: claimed.attempt })
    this.began = Date.now()
    this.expires = this.began + Number(job.ttl_ms)
    this.answers = Object.fromEntries(
      Object.entries(job).filter(([name]) => name.startsWith('answer:')).map(([name, value]) => [name.slice(7), value])
    )
    this.abort = new AbortController()
    this.stopped = new Promise(stop => this.abort.signal.addEventListener('abort', () => stop()))
    this.lines = []
    this.report = ['', '', '']
    this.wakeups = new Set()
    this.waits = 0
    this.hasSlot = true
    this.left = Number(job.timeout_ms)
  }

  say(target, level, message, fields = {}) {
    say(target, level, message, { task: digest(this.id), tool: this.tool.name, attempt: this.number, ...fields })
  }

  get reason() {
    return this.abort.signal.reason?.reason
  }

  /** Tells the tool to stop. The first reason counts. */
  stop(reason) {
    if (this.abort.signal.aborted) return
    this.abort.abort(new Stopped(reason))
    this.wake()
  }

  wake() {
    for (const wake of this.wakeups) wake()
    this.wakeups.clear()
  }

  // The clock stands still while the tool waits for an answer.
  go() {
    this.ends = Date.now() + this.left
    this.timer = setTimeout(() => this.stop(TIMED_OUT), Math.min(this.left, 2 ** 31 - 1))
    this.worker.leases.postMessage({ what: 'until', key: this.claimed.entry, until: this.ends })
  }

  stand() {
    this.left = this.timeLeft
    this.ends = undefined
    clearTimeout(this.timer)
    this.worker.leases.postMessage({ what: 'until', key: this.claimed.entry, until: null })
  }

  get timeLeft() {
    return this.ends === undefined ? this.left : Math.max(0, this.ends - Date.now())
  }

  /** A call that names this attempt. A refusal stops the tool. */
  async call(name, keys, ...args) {
    const { base } = this.claimed
    const reply = await this.worker.calls.call(name, keys, base, this.id, this.number, ...args)
    if (reply.tag in REFUSALS && ['ask_input', 'report_log', 'report_progress'].includes(name)) this.stop(reply.tag)
    return reply
  }

  unknown(name, reply) {
    const fault = new UnknownReply(name, reply.tag)
    this.worker.giveUp(fault)
    this.stop(BROKEN)
    return fault
  }

  async run() {
    const { entry, record, queue, base } = this.claimed
    const { leases, settings, id } = this.worker
    const args = [base, this.id, this.number, id, entry, Math.round(settings.lease)]
    leases.postMessage({ what: 'add', key: entry, keys: [record, queue], args, until: null })
    try {
      const settlement = await this.supervise()
      if (![...Object.keys(REFUSALS), BROKEN, PARKED].includes(this.reason)) await this.sendReports()
      const ran = Date.now() - this.began
      const word = await this.settle(settlement)
      const level = ['lost lease', 'left to its lease', 'dead letter'].includes(word) ? 'warn' : 'info'
      const retry = word === 'will be retried' ? { retry_in_ms: settlement.delay } : {}
      this.say('attempt', level, 'ended', { outcome: word, reason: settlement.reason, ran_ms: ran, ...retry })
    } finally {
      leases.postMessage({ what: 'remove', key: entry })
      if (!this.begun) this.leaveSlot()
    }
  }

  /** What the thread that keeps leases heard. */
  renewed({ reply, fault }) {
    if (fault) return this.worker.giveUp(new CannotWork(fault))
    if (reply.tag in REFUSALS) return this.stop(reply.tag)
    if (reply.tag !== 'OK') return this.unknown('renew_lease', reply)
    const answers = pairs(reply.rest)
    if (Object.keys(answers).length <= Object.keys(this.answers).length) return
    Object.assign(this.answers, answers)
    this.wake()
  }

  async readArguments() {
    if (!('arguments_bytes' in this.job)) return this.job.arguments ?? '{}'
    const read = async () => ({ value: await this.worker.calls.large.send('HGET', this.claimed.record, 'arguments') })
    return (await persist(read, this.expires)).value ?? ''
  }

  /** Runs the tool until it ends, or must be stopped. */
  async supervise() {
    let args
    try {
      this.rawArguments = await this.readArguments()
      args = JSON.parse(this.rawArguments)
    } catch (fault) {
      if (!(fault instanceof SyntaxError)) return { how: 'nothing', reason: `its arguments could not be read: ${fault.message}` }
      return this.judge({ raised: new ToolError(`the arguments cannot be read: ${fault.message}`) })
    }
    this.begun = true
    this.go()
    const handler = (async () => this.tool.handler(args, new Context(this)))()
    const ended = handler.then(value => ({ value }), raised => ({ raised: raised ?? new Error('it rejected with nothing') }))
    ended.then(() => {
      this.gone = true
      this.leaveSlot()
    })
    const reporting = setInterval(() => this.sendReports(), REPORT_PACE)
    let end = await Promise.race([ended, this.stopped])
    if (!end) {
      const grace = setTimeout(() => this.grace?.(), this.tool.stopGrace)
      end = await Promise.race([ended, new Promise(over => (this.grace = over))])
      clearTimeout(grace)
    }
    clearInterval(reporting)
    this.stand()
    if (!end) this.say('attempt', 'warn', 'the tool does not stop; its slot stays taken until it ends', { reason: this.reason })
    return this.judge(end ?? { raised: this.abort.signal.reason })
  }

  leaveSlot() {
    if (!this.hasSlot) return
    this.hasSlot = false
    this.worker.giveSlot(this.queue)
  }

  /** What the end of a tool means for its job. */
  judge({ value, raised }) {
    const { reason, tool } = this
    const most = this.worker.settings.maxResult
    if (reason in REFUSALS || reason === BROKEN) return { how: 'nothing', reason: REFUSALS[reason] ?? BROKEN }
    if (reason === PARKED) return { how: 'park' }
    if (reason === TIMED_OUT) {
      const said = `timed out after ${Number(this.job.timeout_ms) / 1000}s (the tool's timeout)`
      return { how: 'finish', outcome: errorOutcome(said), reason: said }
    }
    if (raised === undefined) return { how: 'finish', outcome: outcomeOf(value, tool.hasOutput, most) }
    if (reason === HALTED) return this.halted()
    const place = placeOf(raised)
    say('tool', 'debug', 'a tool raised', { task: digest(this.id), traceback: raised?.stack })
    const message = String(raised?.message ?? raised)
    if (raised instanceof Retry) {
      const said = summaryOf(readable(message)) || 'the tool asks for another attempt'
      const delay = raised.after === undefined ? tool.backoffAfter(Number(this.job.retries ?? 0)) : Math.max(0, raised.after * 1000)
      return { how: 'retry', outcome: bounded(errorOutcome(message), most), delay: Math.round(delay), message: said, reason: place }
    }
    if (raised instanceof RpcError) {
      return { how: 'finish', outcome: bounded(failedOutcome(message, raised.code), most), reason: `JSON-RPC error ${raised.code}` }
    }
    const said = raised instanceof ToolError ? message : `${raised?.name ?? 'Error'}: ${message}`
    return { how: 'finish', outcome: bounded(errorOutcome(said), most), reason: place }
  }

  /** The tool was stopped because its worker ends: another runs it, unless it may be run only once. */
  halted() {
    if (Number(this.job.max_attempts ?? 2) > 1 || Number(this.job.max_crashes ?? 2) > 1) return { how: 'release', reason: HALTED }
    const said = `the worker was stopped during attempt ${this.number}: the job is not run again, and its work may be partly done`
    return { how: 'retry', outcome: failedOutcome(said), delay: 0, message: said, reason: HALTED }
  }

  /** Writes how the attempt ended. Returns a word for the log. */
  async settle(settlement) {
    if (settlement.how === 'nothing') return settlement.reason
    if (settlement.how === 'park') return 'parked'
    try {
      try {
        return await this.write(settlement)
      } catch (fault) {
        if (mayPass(fault) || fault instanceof CannotWork || settlement.how === 'release') throw fault
        this.say('worker', 'error', 'Redis refuses the end of an attempt', { error: fault.message })
        const instead = errorOutcome('the result could not be stored: Redis refused it')
        return await this.write({ ...settlement, outcome: instead })
      }
    } catch (fault) {
      this.say('worker', 'error', 'the end of an attempt could not be written', { error: fault.message })
      return 'left to its lease'
    }
  }

  async write({ how, outcome, delay = 0, message = '' }) {
    const { entry, record, queue } = this.claimed
    const [name, done, args] = {
      finish: () => ['finish', { OK: outcome.word }, [entry, ...outcome.args, outcome.message]],
      retry: () => ['schedule_retry', { RETRY: 'will be retried', DEAD: 'dead letter' }, [entry, delay, message, ...outcome.args]],
      release: () => ['release', { OK: 'given back' }, [entry, delay, message, '1']]
    }[how]()
    const reply = await persist(() => this.call(name, [record, queue], ...args), this.expires)
    if (reply.tag in done) return done[reply.tag]
    if (!(reply.tag in REFUSALS)) throw this.unknown(name, reply)
    if (reply.repeated && reply.tag === (name === 'finish' ? 'DONE' : 'STALE')) return Object.values(done)[0]
    return name === 'finish' && reply.tag === 'DONE' ? 'cancelled' : REFUSALS[reply.tag]
  }

  /** Sends what waits. Reports are for people who watch: one that fails is dropped, the next will do. */
  async sendReports() {
    if (this.sending) return this.sending
    const { lines, report } = this
    this.lines = []
    this.report = ['', '', '']
    if (!lines.length && !report.some(part => part !== '')) return
    this.sending = (async () => {
      try {
        if (lines.length) await this.call('report_log', [this.claimed.record], ...lines.flat())
        if (report.some(part => part !== '')) await this.call('report_progress', [this.claimed.record], ...report)
      } catch (fault) {
        this.say('worker', 'debug', 'a report could not be sent', { error: fault.message })
      }
    })()
    await this.sending
    this.sending = undefined
  }

  /** The answers to these questions, as they are stored. */
  async answersTo(requests) {
    const missing = Object.entries(requests).filter(([key]) => !(key in this.answers))
    if (missing.length) {
      const reply = await persist(() => this.call('ask_input', [this.claimed.record], ...missing.flat()), this.expires)
      if (reply.tag in REFUSALS) throw new Stopped(reply.tag)
      if (!['ASKED', 'ANSWERED'].includes(reply.tag)) throw this.unknown('ask_input', reply)
      Object.assign(this.answers, pairs(reply.rest))
      await this.waitFor(missing.map(([key]) => key))
    }
    return this.answers
  }

  /** Waits until all answers came; without the slot, and while the clock stands still. */
  async waitFor(keys) {
    const open = () => keys.some(key => !(key in this.answers))
    if (!open()) return
    const until = Date.now() + this.worker.settings.parkAfter
    this.waits += 1
    if (this.waits === 1) {
      this.stand()
      this.leaveSlot()
    }
    try {
      while (open()) await this.nextAnswer(until)
    } finally {
      this.waits -= 1
    }
    if (this.waits) return
    await this.worker.takeSlot(this.queue)
    if (this.gone) return this.worker.giveSlot(this.queue)
    this.hasSlot = true
    this.go()
  }

  /** Waits for an answer. Parks the job if that takes too long, or if the worker stops. */
  async nextAnswer(until) {
    const late = () => this.worker.stopping || Date.now() >= until
    if (!late()) {
      await new Promise(wake => {
        const timer = setTimeout(wake, Math.min(until - Date.now(), 2 ** 31 - 1))
        this.wakeups.add(() => {
          clearTimeout(timer)
          wake()
        })
      })
      if (!late() && !this.abort.signal.aborted) return
    }
    if (this.abort.signal.aborted) throw this.abort.signal.reason
    const { record, queue } = this.claimed
    const reply = await persist(() => this.call('park', [record, queue]), this.expires)
    if (reply.tag === 'ANSWERED') {
      this.worker.leases.postMessage({ what: 'renew', key: this.claimed.entry })
      return sleep(100)
    }
    if (reply.tag !== 'OK' && !(reply.tag in REFUSALS)) throw this.unknown('park', reply)
    // Of a park that was done before and is repeated, the job is nobody's.
    this.stop(reply.tag === 'OK' || (reply.repeated && reply.tag === 'STALE') ? PARKED : reply.tag)
    throw this.abort.signal.reason
  }
}

/** Where a tool raised what, for the log, which has no word of the tool. */
const placeOf = raised => {
  const place = /\n\s+at .*?((?:file:\/\/|\/)[^\s)]+:\d+):\d+/.exec(raised?.stack ?? '')
  return `${raised?.constructor?.name ?? typeof raised}${place ? ` at ${place[1]}` : ''}`
}

/** What a tool knows of its job, and what it can report and ask. */
class Context {
  #attempt

  constructor(attempt) {
    const { job } = attempt
    this.#attempt = attempt
    this.taskId = attempt.id
    this.origin = job.origin || attempt.id
    this.attempt = Number(attempt.number)
    this.tool = job.tool
    this.queue = job.queue
    this.owner = job.owner ?? ''
    this.retries = Number(job.retries ?? 0)
    this.rawArguments = attempt.rawArguments
    this.traceparent = job.trace || undefined
    this.tracestate = job.tracestate || undefined
    this.baggage = job.baggage || undefined
    this.signal = attempt.abort.signal
    try {
      this.capabilities = JSON.parse(job.capabilities || '{}') ?? {}
    } catch {
      this.capabilities = {}
    }
  }

  get trace() {
    const { traceparent, tracestate, baggage } = this
    return Object.fromEntries(Object.entries({ traceparent, tracestate, baggage }).filter(([, value]) => value))
  }

  get timeLeft() {
    return this.#attempt.timeLeft / 1000
  }

  get deadline() {
    return new Date(Date.now() + this.#attempt.timeLeft)
  }

  get stopping() {
    return this.#attempt.reason
  }

  check() {
    if (this.signal.aborted) throw this.signal.reason
  }

  progress(progress, total, message) {
    this.check()
    const { report } = this.#attempt
    if (Number.isFinite(progress)) {
      report[0] = String(progress)
      report[1] = Number.isFinite(total) ? String(total) : ''
    }
    if (message) report[2] = readable(message).slice(0, LONGEST_MESSAGE)
  }

  message(said) {
    this.progress(undefined, undefined, said)
  }

  log(level, said) {
    this.check()
    const attempt = this.#attempt
    const grade = LEVELS.indexOf(level)
    if (grade < 0) throw new TypeError(`a level is one of ${LEVELS.join(', ')}`)
    const least = LEVELS.indexOf(attempt.job.log_level)
    if (least >= 0 && grade >= least) {
      attempt.lines.push([level, readable(Buffer.from(readable(said)).subarray(0, LONGEST_LINE).toString())])
      if (attempt.lines.length > LINES_WAITING) attempt.lines.shift()
    }
    attempt.say('tool', ['debug', 'info', 'info', 'warn'][grade] ?? 'error', 'log', { line: String(said) })
  }

  async ask(key, question) {
    return (await this.askAll({ [key]: question }))[key]
  }

  async askAll(questions) {
    this.check()
    const requests = {}
    for (const [key, question] of Object.entries(questions)) {
      checkQuestion(key, question, this.capabilities)
      try {
        requests[key] = dump({ method: question.method, params: question.params })
      } catch (fault) {
        throw new AskError(`a question cannot be put: ${fault.message}`)
      }
    }
    const stored = await this.#attempt.answersTo(requests)
    return Object.fromEntries(Object.keys(questions).map(key => [key, readAnswer(stored[key])]))
  }
}

// ---------------------------------------------------------------------------------------------------------------------------
// The worker

const BEAT = 5000
const KEPT = 60_000
// As long as other workers: Redis serves first who has waited longest, so who asks anew more often gets nothing.
const LONGEST_BLOCK = 5000
// Of several shards, since a read holds slots that another one may need; and of some of the queues, while others have no room.
const SHORT_BLOCK = 500
const LIBRARY_WAIT = 5000 // a worker that starts waits so long for the library: front ends bring it back to a Redis that lost its data
const NOBODY = '00000000-0000-4000-8000-000000000000'
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP']

// What a definition may have, by its name here and in docs/CONTRACT.md.
const DEFINITION = {
  title: 'title', description: 'description', inputSchema: 'input_schema', outputSchema: 'output_schema', queue: 'queue',
  annotations: 'annotations', icons: 'icons', taskSupport: 'task_support', concurrency: 'concurrency', attempts: 'attempts',
  crashLimit: 'crash_limit', keepMs: 'keep_ms', pollIntervalMs: 'poll_interval_ms', pollIntervalMaxMs: 'poll_interval_max_ms',
  rank: 'rank', scopes: 'scopes', taskScopes: 'task_scopes', askFirst: 'ask_first', requiredCapabilities: 'required_capabilities',
  shareIdentical: 'share_identical', immediateResponse: 'immediate_response'
}

// What stands behind the stroke of a rate, ms.
const RATE_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A rate, such as '5/1m', as a definition has it: how many attempts begin in how long, and what becomes of calls beyond it. */
function rateOf(rate, excess, faults) {
  if (![undefined, 'wait', 'refuse'].includes(excess)) faults.push("rateExcess must be 'wait' or 'refuse'")
  if (rate === undefined) {
    if (excess === 'refuse') faults.push('rateExcess says what becomes of calls beyond rate, which is not set')
    return undefined
  }
  const found = typeof rate === 'string' && /^([0-9]+)\/([0-9]+)(ms|s|m|h|d)$/.exec(rate)
  if (!found) {
    faults.push("rate must be a whole number and a time, as in '5/1m' or '100/1s'")
    return undefined
  }
  const count = Number(found[1])
  const window = Number(found[2]) * RATE_UNITS[found[3]]
  const fits = count >= 1 && count <= 100_000 && window >= 1000 && window <= RATE_UNITS.d
  if (!fits) faults.push('rate must be of 1 to 100000 attempts in 1s to 1d')
  return { count, window_ms: window, ...(excess === 'refuse' ? { excess } : {}) }
}

class Tool {
  constructor(name, options, handler) {
    const { timeout = 600, backoff = [1, 60], ttl, stopGrace = 3, rate, rateExcess, ...rest } = options
    const unknown = Object.keys(rest).filter(key => !(key in DEFINITION))
    const faults = unknown.map(key => `${key} is no part of a definition`)
    if (!/^[A-Za-z0-9_.-]{1,128}$/.test(name)) faults.push('a name is 1 to 128 ASCII letters, digits, underscores, hyphens and dots')
    if (!/^[A-Za-z0-9_.-]{1,64}$/.test(rest.queue ?? 'default')) faults.push('a queue is 1 to 64 ASCII letters, digits, underscores, hyphens and dots')
    if (!isObject(rest.inputSchema)) faults.push('inputSchema must be a JSON Schema')
    if (!(timeout > 0)) faults.push('timeout must be more than 0 seconds')
    for (const key of ['attempts', 'crashLimit', 'concurrency']) if (key in rest && !(rest[key] >= 1)) faults.push(`${key} must be 1 or more`)
    if (!(backoff[0] >= 0 && backoff[0] <= backoff[1])) faults.push('backoff must be [initial, max], seconds')
    const bound = rateOf(rate, rateExcess, faults)
    if (typeof handler !== 'function') faults.push('its handler is no function')
    if (faults.length) throw new TypeError(`tool ${name}: ${faults.join('; ')}`)
    const ms = seconds => Math.round(seconds * 1000)
    const given = Object.entries(rest).filter(([, value]) => value !== undefined)
    this.definition = JSON.stringify({
      name, queue: 'default', ...Object.fromEntries(given.map(([key, value]) => [DEFINITION[key], value])), timeout_ms: ms(timeout),
      backoff: { initial_ms: ms(backoff[0]), max_ms: ms(backoff[1]) },
      ...(ttl ? { ttl: { default_ms: ms(ttl.default), min_ms: ms(ttl.min), max_ms: ms(ttl.max) } } : {}),
      ...(bound ? { rate: bound } : {})
    })
    Object.assign(this, { name, handler, backoff, queue: rest.queue ?? 'default', stopGrace: ms(stopGrace), hasOutput: Boolean(rest.outputSchema) })
  }

  /** A random part is taken off, so that what failed together does not come back together. */
  backoffAfter(retries) {
    return jittered(Math.min(this.backoff[0] * 2 ** Math.min(retries, 32), this.backoff[1]) * 1000)
  }
}

class Slots {
  waiting = []

  constructor(free) {
    this.free = free
  }

  async take() {
    if (this.free > 0) this.free -= 1
    else await new Promise(taken => this.waiting.push(taken))
  }

  takeMore(most) {
    const taken = Math.max(0, Math.min(most, this.free))
    this.free -= taken
    return taken
  }

  give() {
    const next = this.waiting.shift()
    if (next) next()
    else this.free += 1
  }
}

/** What is said of queues: each a weight, or `{ weight, slots }`. */
function readShares(given, queues) {
  const faults = []
  const shares = new Map()
  const isFrom1To = (most, number) => Number.isInteger(number) && number >= 1 && number <= most
  for (const [queue, said] of Object.entries(given ?? {})) {
    const { weight = 1, slots, ...rest } = isObject(said) ? said : { weight: said }
    const unknown = Object.keys(rest).join(', ')
    if (unknown) faults.push(`queues: ${queue}: ${unknown}: there are weight and slots`)
    if (!isFrom1To(100, weight)) faults.push(`queues: ${queue}: weight must be a whole number from 1 to 100`)
    if (slots !== undefined && !isFrom1To(1024, slots)) faults.push(`queues: ${queue}: slots must be a whole number from 1 to 1024`)
    if (!queues.includes(queue)) faults.push(`queues: ${queue}: no tool of this worker is on that queue; there are ${queues.join(', ')}`)
    shares.set(queue, { weight, slots })
  }
  if (faults.length) throw new SettingsError(faults.join('\n'))
  return shares
}

/** Gives out turns by weight. Of as many turns in a row as all weights make, each queue has as many as its own, spread evenly. A
 * turn that its queue cannot use goes to the next at once, and counts as had. */
class Turns {
  constructor(queues, shares) {
    this.places = queues.map(queue => ({ queue, weight: shares.get(queue)?.weight ?? 1, behind: 0 }))
    this.all = this.places.reduce((sum, { weight }) => sum + weight, 0)
  }

  /** So many turns, for queues that have room for them: how many each has got, in the order of their first turns. */
  share(turns, room) {
    const shares = new Map()
    const canUse = ({ queue }) => (shares.get(queue) ?? 0) < room(queue)
    for (; turns > 0 && this.places.some(canUse); turns -= 1) {
      let place = this.next()
      while (!canUse(place)) place = this.next()
      shares.set(place.queue, (shares.get(place.queue) ?? 0) + 1)
    }
    return shares
  }

  next() {
    for (const place of this.places) place.behind += place.weight
    const next = this.places.reduce((first, place) => (place.behind > first.behind ? place : first))
    next.behind -= this.all
    return next
  }
}

/** How many slots the jobs of each queue may still take. Who waits for one is served before a fetcher reads the queue again. */
class Bounds {
  constructor(shares) {
    const bounded = [...shares].filter(([, { slots }]) => slots !== undefined)
    this.of = new Map(bounded.map(([queue, { slots }]) => [queue, new Slots(slots)]))
  }

  room(queue) {
    return this.of.get(queue)?.free ?? Infinity
  }

  tryTake(queue) {
    const slots = this.of.get(queue)
    return !slots || slots.takeMore(1) === 1
  }

  async take(queue) {
    await this.of.get(queue)?.take()
  }

  give(queue) {
    this.of.get(queue)?.give()
  }
}

/** A worker. Each setting that is not given is taken from the environment, or is the default. */
export class Worker {
  tools = new Map()

  constructor(given = {}) {
    this.given = given
    const host = hostname().replace(/[^A-Za-z0-9-]/g, '').slice(0, 40) || 'worker'
    // A new one at each start: what an earlier process left is not its own.
    this.id = `${host}-${randomBytes(4).toString('hex')}`
  }

  /** Makes a function a tool: `handler(args, job)`. */
  tool(name, options, handler) {
    if (this.tools.has(name)) throw new TypeError(`there are two tools of the name ${name}`)
    this.tools.set(name, new Tool(name, options, handler))
    return this
  }

  /** Works until it is told to stop, or has nothing left to do, and ends the process: with code 0; 1 if Redis cannot be used, or
   * a second signal ended the drain; 2 if the settings cannot be used. */
  async run() {
    let code = 0
    try {
      await this.serve({ signals: true })
    } catch (fault) {
      if (!(fault instanceof CannotWork || fault instanceof SettingsError)) throw fault
      process.stderr.write(`taskferry: ${fault.message}\n`)
      code = fault instanceof SettingsError ? 2 : 1
    }
    process.exit(code)
  }

  /** The same in a program that is more than a worker; `stop` ends it. */
  async serve({ signals = false } = {}) {
    this.settings = readSettings(this.given)
    if (!this.tools.size) throw new SettingsError('there is no tool: add one with worker.tool(…)')
    const { settings } = this
    log.least = SHOWN[settings.log] ?? SHOWN.info
    this.queues = [...new Set([...this.tools.values()].map(tool => tool.queue))].sort()
    this.foreign = settings.role === 'foreign-worker'
    this.calls = new Calls(settings)
    this.slots = new Slots(settings.slots)
    this.shares = readShares(this.given.queues, this.queues)
    this.bounds = new Bounds(this.shares)
    this.left = settings.maxJobs ?? Infinity
    this.running = new Map()
    this.jobs = new Set()
    this.deaf = new Set(Array.from({ length: settings.shards }, (_, shard) => shard))
    this.deliveries = 0
    this.fetchers = []
    this.drains = true
    this.stopping = this.killed = this.over = false
    this.told = new Promise(tell => (this.tell = tell))
    this.lastBusy = Date.now()
    const signalled = () => {
      if (this.stopping && this.drains) {
        this.fault ??= new CannotWork('a second signal ended the drain')
        this.killed = true
      }
      this.drains = true
      this.stop()
    }
    if (signals) for (const name of SIGNALS) process.on(name, signalled)
    try {
      await this.introduce()
      if (!this.stopping) await this.work()
    } finally {
      this.over = true
      if (signals) for (const name of SIGNALS) process.off(name, signalled)
      this.calls.close()
    }
    if (this.fault) throw this.fault
  }

  /** Begins the drain: nothing more is read; what runs may go on for `drainTimeout`. */
  stop() {
    if (this.stopping) return
    this.stopping = true
    this.tell()
    for (const attempt of this.running.values()) attempt?.wake()
  }

  giveUp(fault) {
    if (!this.fault) say('worker', 'error', 'this worker cannot go on', { error: fault.message })
    this.fault ??= fault
    this.stop()
  }

  base(shard) {
    return `${this.settings.prefix}:{${shard}}:`
  }

  stream(shard, queue) {
    return `${this.base(shard)}queue:${queue}`
  }

  fleet(name) {
    return `${this.settings.prefix}:{fleet}:${name}`
  }

  get shards() {
    return Array.from({ length: this.settings.shards }, (_, shard) => shard)
  }

  // -- its start

  /** Makes sure that this worker can work here, and makes it known. If Redis is not there yet, waits for it. */
  async introduce() {
    let missingUntil
    for (let pause = 200; !this.stopping; pause = Math.min(pause * 2, 5000)) {
      try {
        await this.check()
        for (const shard of this.shards) await this.ensureGroups(shard)
        await this.register(false)
        return await this.beat()
      } catch (fault) {
        if (fault instanceof NoLibrary) missingUntil ??= Date.now() + LIBRARY_WAIT
        else if (fault instanceof CannotWork) throw fault
        else if (!mayPass(fault) || isDenied(fault) || remedy(fault)) {
          throw new CannotWork(`Redis cannot be used: ${fault.message}${remedy(fault)}`)
        }
        if (Date.now() + pause > missingUntil) throw fault
        say('worker', 'warn', 'Redis cannot be used yet; trying again', { error: fault.message || fault.code })
      }
      await Promise.race([sleep(pause), this.told])
    }
  }

  async check() {
    if (!this.calls.scripts) await this.checkLibrary()
    if (!this.foreign) await this.checkVersion()
    const base = this.base(0)
    const nobody = `0-${NOBODY}`
    for (const queue of this.queues) {
      try {
        const reply = await this.calls.call('claim', [`${base}task:${nobody}`, this.stream(0, queue)], base, nobody, '0-1', this.id, 15000, 1)
        if (reply.tag !== 'GONE') throw new UnknownReply('claim', reply.tag)
      } catch (fault) {
        if (!isDenied(fault)) throw fault
        throw new CannotWork(`the Redis user lacks a right (${fault.message}): \`taskferry doctor --role ${this.settings.role}\` as that user names each, \`taskferry acl\` prints the rules`)
      }
    }
  }

  async checkLibrary() {
    let reply
    try {
      reply = await this.calls.call('version', [])
    } catch (fault) {
      if (/not found/i.test(fault.message)) {
        const others = await this.otherLibraries()
        throw new (others ? CannotWork : NoLibrary)(`Redis does not have the library taskferry_${MAJOR}${others}: run \`taskferry contract install\`, or start a front end, which installs it`)
      }
      if (isDenied(fault) || /unknown command/i.test(fault.message)) {
        throw new CannotWork(`functions cannot be called here (${fault.message}): give this user +fcall, or write the scripts to a file with \`taskferry contract print --eval\` and name it by scripts or TASKFERRY_SCRIPTS`)
      }
      throw fault
    }
    const [version] = reply.rest
    if (reply.tag !== 'OK' || !version?.startsWith(`${MAJOR}.`)) {
      throw new CannotWork(`the library taskferry_${MAJOR} in Redis is of contract ${version ?? reply.tag}, and this worker needs ${MAJOR}.x: run \`taskferry contract install\` of the fleet's release`)
    }
  }

  /** Which libraries are there instead, if this user may know. */
  async otherLibraries() {
    const found = await this.calls.send('FUNCTION', 'LIST', 'LIBRARYNAME', 'taskferry_*').catch(() => '')
    const names = new Set(JSON.stringify(found).match(/\btaskferry_\d+\b/g))
    return names.size ? ` (there is ${[...names].join(', ')}, of another contract)` : ''
  }

  async checkVersion() {
    const key = `${this.settings.prefix}:contract`
    const stored = await this.calls.send('GET', key).catch(fault => {
      if (!isDenied(fault)) throw fault
      throw new CannotWork(`the Redis user may not read ${key} (${fault.message}): it lacks the role worker; set role 'foreign-worker' if it has that one`)
    })
    if (stored !== null && !stored.startsWith(`${MAJOR}.`)) {
      throw new CannotWork(`this fleet uses contract ${stored}, this worker ${MAJOR}.x: use the package of the fleet's release`)
    }
  }

  async ensureGroups(shard) {
    for (const queue of this.queues) await this.calls.call('ensure_group', [this.stream(shard, queue)])
  }

  /** Registers the tools; if some may be lost those alone that are gone, since a newer worker may have registered another form. */
  async register(lost) {
    if (this.foreign) return
    for (const queue of this.queues) {
      const found = []
      for (const tool of this.tools.values()) {
        if (tool.queue !== queue) continue
        if (lost && (await this.calls.send('HGET', this.fleet(`tools:${queue}`), tool.name))) continue
        found.push(tool.name, tool.definition)
      }
      if (!found.length) continue
      const keys = [this.fleet(`tools:${queue}`), this.fleet('queues'), this.fleet('homes')]
      const args = [this.fleet('tools:changed'), queue, ...found]
      try {
        await this.calls.call('register_tools', keys, ...args)
      } catch (fault) {
        if (!isDenied(fault)) throw fault
        // A worker of some queues alone may not take over tools of others.
        await this.calls.call('register_tools', keys.slice(0, 2), ...args)
      }
    }
  }

  /** Says that the worker lives, if it said so a while ago, or what it says of itself has changed. */
  async beat() {
    if (this.foreign) return
    this.beats = (this.beats ?? 0) + 1
    // Slots with which a fetcher reads are free for jobs.
    const full = this.slots.free === 0 && this.fetchers.every(fetcher => fetcher.permits === 0)
    const doing = this.stopping ? 'draining' : full ? 'full' : 'fetching'
    const said = {
      host: hostname(), pid: process.pid, version: `node-${VERSION}`, slots: this.settings.slots, busy: this.jobs.size,
      tools: [...this.tools.keys()].sort().join(','), queues: this.queues.join(','), doing, listens: 1
    }
    const fields = Object.entries(said).flat()
    if (`${fields}` === this.said && this.beats % 2) return
    const keys = [this.fleet(`worker:${this.id}`), this.fleet('workers'), this.fleet('definitions')]
    await this.calls.call('beat', keys, this.id, KEPT, 0, ...fields)
    this.said = `${fields}`
    this.beats = 0
  }

  // -- its work

  async work() {
    const { settings } = this
    this.leases = new Thread(new URL(import.meta.url), { workerData: { taskferry: 'leases', settings } })
    let keeps = false
    this.leases.on('message', ({ key, ready, ...heard }) => {
      if (ready) keeps = true
      else this.running.get(key)?.renewed(heard)
    })
    this.leases.on('error', fault => this.giveUp(new CannotWork(`the thread that keeps leases died: ${fault.message}`)))
    for (const shard of this.shards) this.listen(shard)
    // Nothing is read before messages are heard and leases can be kept, so that no cancel of what was just begun is missed, and a
    // tool that blocks at once does not keep that thread from starting.
    const until = Date.now() + settings.redisTimeout
    while (!this.stopping && (!keeps || (this.deaf.size && Date.now() < until))) await sleep(5)
    this.fetchers = this.shards.map(shard => new Fetcher(this, shard))
    const reading = Promise.all(this.fetchers.map(fetcher => fetcher.run()))
    const tick = () => this.leases.postMessage({ what: 'tick' })
    const timers = [setInterval(() => this.endByItself(), 50), setInterval(() => this.tidy(), BEAT * 0.9), setInterval(tick, 250)]
    say('worker', 'info', 'working', { worker: this.id, tools: [...this.tools.keys()].sort().join(',') })
    await this.told
    clearInterval(timers.shift())
    for (let ended = false; !ended; ) {
      ended = await Promise.race([reading.then(() => true), sleep(50).then(() => false)])
      if (!ended) for (const fetcher of this.fetchers) fetcher.unblock()
    }
    await this.drain()
    for (const timer of timers) clearInterval(timer)
    await this.leave()
    this.over = true
    for (const inbox of this.inboxes ?? []) inbox.drop()
    await this.leases.terminate()
  }

  /** Lets what runs go on for a while, and gives back what does not end. A worker that ends by itself waits for all. */
  async drain() {
    await this.beat().catch(() => {})
    let until = Date.now() + this.settings.drainTimeout
    while (this.jobs.size && !this.killed && Date.now() < until) {
      await Promise.race([...this.jobs, sleep(Math.min(50, until - Date.now()))])
      if (!this.drains) until = Date.now() + Math.max(50, this.settings.drainTimeout)
    }
    for (const attempt of this.running.values()) attempt?.stop(HALTED)
    const longest = Math.max(...[...this.tools.values()].map(tool => tool.stopGrace))
    await Promise.race([Promise.all(this.jobs), sleep(this.killed ? 1000 : longest + 2000)])
  }

  /** Takes this worker off the lists. Whatever fails here is forgotten by itself a minute later. */
  async leave() {
    try {
      if (!this.foreign) {
        for (const shard of this.shards) {
          for (const queue of this.queues) await this.calls.call('forget_worker', [this.stream(shard, queue)], this.id)
        }
        await this.calls.send('DEL', this.fleet(`worker:${this.id}`))
        await this.calls.send('ZREM', this.fleet('workers'), this.id)
      }
    } catch (fault) {
      say('worker', 'debug', 'this worker could not be taken off', { error: fault.message })
    }
    say('worker', 'info', 'stopped', { worker: this.id })
  }

  /** Says that the worker lives, and brings back what Redis lost. */
  async tidy() {
    this.rounds = (this.rounds ?? 0) + 1
    try {
      if (this.rounds % 3 === 0 && !this.stopping) {
        if (!this.foreign) await this.checkVersion()
        await this.register(true)
      }
      await this.beat()
    } catch (fault) {
      if (fault instanceof CannotWork) this.giveUp(fault)
      else say('worker', 'warn', 'this worker could not be made known', { error: fault.message })
    }
  }

  /** Hears of answers and cancels. A message says nothing but: renew now. */
  async listen(shard) {
    for (let first = true; !this.over; first = false) {
      const { redisTimeout } = this.settings
      // So that a connection which leads nowhere is noticed. That role may not PING.
      const inbox = new Connection(this.settings, redisTimeout, this.foreign ? {} : { pingInterval: 10_000 })
      this.inboxes = [...(this.inboxes ?? []).filter(other => other.live), inbox]
      try {
        const client = await inbox.client()
        const lost = new Promise(tell => (inbox.dropped = tell))
        await client.subscribe(`${this.base(shard)}inbox:${this.id}`, job => this.ring(job))
        this.deaf.delete(shard)
        this.leases.postMessage({ what: 'listening', listening: !this.deaf.size })
        this.ring()
        await lost
      } catch (fault) {
        say('worker', first || !this.deaf.has(shard) ? 'warn' : 'debug', 'messages are not heard; trying again', { error: fault.message })
      }
      inbox.drop()
      this.deaf.add(shard)
      if (this.over) return
      this.leases.postMessage({ what: 'listening', listening: false })
      await sleep(jittered(1000))
    }
  }

  ring(job) {
    for (const [key, attempt] of this.running) {
      if (attempt && (job === undefined || job === attempt.id)) this.leases.postMessage({ what: 'renew', key })
    }
  }

  endByItself() {
    if (this.jobs.size) this.lastBusy = Date.now()
    const bored = Date.now() - this.lastBusy >= this.settings.idleExit
    if (!bored && (this.left > 0 || this.jobs.size)) return
    say('worker', 'info', 'there is nothing left to do')
    this.drains = false
    this.stop()
  }

  // -- entries

  /** Begins the work on entries, each with a slot of these, or it waits for one. Returns how many slots are left. */
  takeUp(found, shard, permits) {
    for (const item of found) {
      if (this.running.has(item.entry)) continue
      this.lastBusy = Date.now()
      this.running.set(item.entry, null)
      // A slot, and room in its queue, or neither.
      const begins = permits > 0 && this.bounds.tryTake(item.queue)
      const job = this.take(shard, item, begins)
      if (begins) permits -= 1
      this.jobs.add(job)
      job.finally(() => this.jobs.delete(job))
    }
    return permits
  }

  async take(shard, item, hasSlot) {
    let begun = false
    try {
      hasSlot ||= await this.slotOrStop(item.queue)
      const claimed = await this.claim(shard, item)
      if (!claimed) return
      const tool = this.tools.get(claimed.job.tool)
      if (!tool || this.stopping) return await this.giveBack(claimed, Boolean(tool))
      begun = true
      const attempt = new Attempt(this, tool, claimed, item.queue)
      this.running.set(item.entry, attempt)
      await attempt.run()
    } catch (fault) {
      if (fault instanceof CannotWork) this.giveUp(fault)
      // It stays with this worker until its lease ends; then somebody else gets it.
      else say('worker', 'error', 'an entry could not be worked on', { error: fault.stack })
    } finally {
      this.running.delete(item.entry)
      if (!begun) {
        this.left += 1
        if (hasSlot) this.giveSlot(item.queue)
      }
    }
  }

  /** Waits for room in a queue, then for a slot: who waits for the first must not hold the second. */
  async takeSlot(queue) {
    await this.bounds.take(queue)
    if (this.slots.free > 0) return this.slots.take()
    let taken = false
    const slot = this.slots.take().then(() => (taken = true))
    while (!taken && !this.stopping) {
      // A read that blocks holds slots.
      for (const fetcher of this.fetchers) if (fetcher.blocks) fetcher.unblock()
      await Promise.race([slot, sleep(50)])
    }
    await slot
  }

  giveSlot(queue) {
    this.slots.give()
    this.bounds.give(queue)
  }

  /** Waits for a slot; false if the worker stops before: what was read is given back then, without one. */
  async slotOrStop(queue) {
    const slot = this.takeSlot(queue).then(() => true)
    if (await Promise.race([slot, this.told])) return true
    slot.then(() => this.giveSlot(queue))
    return false
  }

  async claim(shard, { queue, entry, fields }) {
    const base = this.base(shard)
    const stream = this.stream(shard, queue)
    const { id = '', tool = '' } = fields
    const until = Date.now() + this.settings.lease
    const bury = () => persist(() => this.calls.call('dead_letter', [stream], base, entry, id, tool, 'unreadable'), until)
    if (!id.startsWith(`${shard}-`)) {
      await bury()
      return say('worker', 'error', "an entry that is no job's is a dead letter", { entry })
    }
    const record = `${base}task:${id}`
    const args = [base, id, entry, this.id, Math.round(this.settings.lease), (this.deliveries += 1)]
    const reply = await persist(() => this.calls.call('claim', [record, stream], ...args), until)
    if (reply.tag === 'OK') {
      const [attempt, ...fields] = reply.rest
      return { base, record, queue: stream, entry, id, attempt, job: pairs(fields) }
    }
    const about = { task: digest(id), entry }
    if (reply.tag === 'UNREADABLE') {
      await bury()
      return say('worker', 'error', 'a record cannot be read; its job is a dead letter', about)
    }
    if (!['GONE', 'STALE', 'DONE', 'WAITS', 'POISON', 'BUSY'].includes(reply.tag)) throw new UnknownReply('claim', reply.tag)
    say('worker', 'debug', 'an entry was not begun', { said: reply.tag, ...about })
  }

  /** Gives back a job that this worker cannot run, or not any more. It has used up no attempt. */
  async giveBack({ base, record, queue, entry, id, attempt, job }, known) {
    let delay = 0
    if (!known) {
      delay = Math.round(Math.min(2000 * 2 ** Math.max(0, Math.min(attempt - 8, 4)), 30_000) * (1 + Math.random() / 2))
      say('worker', 'warn', 'this worker does not have the tool; the job is given back', { task: digest(id), tool: job.tool })
    }
    const release = () => this.calls.call('release', [record, queue], base, id, attempt, entry, delay, '', '0')
    const reply = await persist(release, Date.now() + this.settings.lease)
    if (reply.tag !== 'OK' && !(reply.tag in REFUSALS)) throw new UnknownReply('release', reply.tag)
  }
}

/** Reads the entries of one shard, over a connection of its own, since that blocks. It takes slots before it reads. */
class Fetcher {
  constructor(worker, shard) {
    const { settings, queues, shares } = worker
    Object.assign(this, { worker, shard, queues, permits: 0, blocks: false, turns: new Turns(queues, shares) })
    this.connection = new Connection(settings, this.longest(queues) + settings.redisTimeout)
    this.connection.dropped = () => (this.clientId = undefined)
  }

  /** Ends a read that blocks. Without the right to that, it ends by its time. */
  unblock() {
    if (this.clientId !== undefined) this.worker.calls.send('CLIENT', 'UNBLOCK', this.clientId).catch(() => {})
  }

  async run() {
    const { worker } = this
    for (let pause = 100; !worker.stopping; ) {
      try {
        await this.round()
        pause = 100
      } catch (fault) {
        if (fault instanceof CannotWork) {
          worker.giveUp(fault)
          break
        }
        say('worker', mayPass(fault) ? 'warn' : 'error', 'reading failed; trying again', { error: fault.message })
        // Redis may have given this worker entries that it never saw.
        this.unseen = true
        worker.lastBusy = Date.now()
        await Promise.race([sleep(jittered(pause)), worker.told])
        pause = Math.min(pause * 2, 2000)
      }
    }
    this.connection.drop()
  }

  async round() {
    const { worker } = this
    this.clientId ??= await this.connection.send('CLIENT', 'ID')
    if (this.unseen) await this.seeUnseen()
    if (worker.left <= 0) return sleep(50)
    // All may be at their bounds.
    if (!this.open().length) return sleep(50)
    const slot = worker.slots.take()
    await Promise.race([slot, worker.told])
    if (worker.stopping) {
      slot.then(() => worker.slots.give())
      this.permits = 0
      return
    }
    this.permits = 1 + worker.slots.takeMore(worker.left - 1)
    try {
      await this.readWithPermits()
    } finally {
      for (; this.permits > 0; this.permits -= 1) worker.slots.give()
    }
  }

  async readWithPermits() {
    const { worker } = this
    this.queues = [...this.queues.slice(1), this.queues[0]]
    if (this.queues.length > 1 && (await this.readInTurn())) return
    // A read of several queues may bring one entry of each; those without a slot wait for one.
    const queues = worker.left === Infinity ? this.open() : this.open().slice(0, 1)
    if (!queues.length || worker.stopping) return
    const count = queues.length === 1 ? Math.min(this.permits, worker.bounds.room(queues[0])) : 1
    this.begin(await this.read(queues, count, this.longest(queues)))
  }

  /** How long a read of these queues blocks. */
  longest(queues) {
    const { shards, idleExit } = this.worker.settings
    const longest = shards === 1 && queues.length === this.queues.length ? LONGEST_BLOCK : SHORT_BLOCK
    return Math.round(Math.min(longest, idleExit || Infinity))
  }

  /** The queues that are not at their bounds. */
  open() {
    return this.queues.filter(queue => this.worker.bounds.room(queue) > 0)
  }

  /** Reads what is there, each queue in its turn, until the slots are used up or all are empty; whether there was anything. */
  async readInTurn() {
    const empty = new Set()
    let foundAny = false
    while (this.permits > 0) {
      const shares = this.turns.share(this.permits, queue => (empty.has(queue) ? 0 : this.worker.bounds.room(queue)))
      if (!shares.size) break
      for (const [queue, count] of shares) {
        const found = await this.read([queue], count)
        if (found.length < count) empty.add(queue)
        if (this.begin(found)) foundAny = true
      }
    }
    return foundAny
  }

  begin(found) {
    this.worker.left -= found.length
    this.permits = this.worker.takeUp(found, this.shard, this.permits)
    return found.length > 0
  }

  async read(queues, count, block, after = '>') {
    const { worker, shard } = this
    const streams = new Map(queues.map(queue => [worker.stream(shard, queue), queue]))
    const blocking = block === undefined ? [] : ['BLOCK', Math.max(1, block)]
    this.blocks = block !== undefined
    let reply
    try {
      reply = await this.connection.send(
        'XREADGROUP', 'GROUP', GROUP, worker.id, 'COUNT', count, ...blocking, 'STREAMS', ...streams.keys(), ...queues.map(() => after)
      )
    } catch (fault) {
      if (!/NOGROUP/.test(fault.message)) throw fault
      await worker.ensureGroups(shard)
      await worker.register(true)
      return []
    } finally {
      this.blocks = false
    }
    return (reply ?? []).flatMap(([stream, entries]) =>
      entries.map(([entry, fields]) => ({ queue: streams.get(stream), entry, fields: pairs(fields ?? []) }))
    )
  }

  /** Begins the work on entries that Redis gave this worker over a connection that broke, and that it never saw. */
  async seeUnseen() {
    const { worker } = this
    await worker.ensureGroups(this.shard)
    // If Redis lost its data, it lost the tools, too.
    await worker.register(true)
    const count = worker.running.size + worker.settings.slots
    const found = await this.read(this.queues, count, undefined, '0')
    this.begin(found.filter(({ entry }) => !worker.running.has(entry)))
    this.unseen = false
  }
}

if (!isMainThread && workerData?.taskferry === 'leases') keepLeases(workerData)
