// What the tests run against: a Redis and a front end of their own, a client of MCP, and workers as processes.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createClient } from 'redis'

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const BINARY = process.env.TASKFERRY_BINARY ?? join(ROOT, 'target/debug/taskferry')
const ENDED = ['completed', 'failed', 'cancelled']

/** A port that nothing listens on now, below those that outgoing connections are given. */
const freePort = () =>
  new Promise(found => {
    const port = 12_000 + Math.floor(Math.random() * 20_000)
    const probe = createServer().on('error', () => found(freePort()))
    probe.listen(port, '127.0.0.1', () => probe.close(() => found(port)))
  })

/** Waits until something is found, and returns it. */
export async function eventually(what, find, ms = 15_000) {
  for (const until = Date.now() + ms; ; await sleep(20)) {
    const found = await find()
    if (found) return found
    if (Date.now() > until) assert.fail(`${what} is not so after ${ms} ms`)
  }
}

/** A Redis and a front end. */
export class Fleet {
  own = []

  static async start() {
    const fleet = new Fleet()
    fleet.folder = mkdtempSync(join(tmpdir(), 'taskferry-'))
    const [port, http] = [await freePort(), await freePort()]
    fleet.url = `redis://127.0.0.1:${port}/0`
    fleet.endpoint = `http://127.0.0.1:${http}`
    fleet.spawn('redis-server', '--port', port, '--save', '', '--dir', fleet.folder)
    fleet.client = createClient({ url: fleet.url, RESP: 2 }).on('error', () => {})
    await fleet.client.connect()
    fleet.spawn(BINARY, 'serve', '--redis-url', fleet.url, '--listen', `127.0.0.1:${http}`)
    await eventually('the front end', () => fetch(`${fleet.endpoint}/readyz`).then(answer => answer.ok, () => false))
    fleet.forwarder = fleet.forward()
    return fleet
  }

  spawn(program, ...args) {
    const child = spawn(program, args.map(String), { stdio: 'ignore' })
    child.ended = new Promise(ended => child.on('exit', ended))
    this.own.push(child)
  }

  redis(...parts) {
    return this.client.sendCommand(parts.map(String))
  }

  /** Puts due jobs on their streams at once: the tests do not wait for a round of housekeeping. */
  async forward() {
    while (!this.over) {
      for (const key of await this.redis('KEYS', 'tf:{0}:due:*')) {
        await this.redis('FCALL', 'tf3_forward', 1, key, 'tf:{0}:', key.split(':').pop(), 10)
      }
      await sleep(50)
    }
  }

  async close() {
    this.over = true
    await this.forwarder
    this.client.destroy()
    for (const child of this.own.reverse()) {
      child.kill()
      await child.ended
    }
    rmSync(this.folder, { recursive: true })
  }

  async post(method, name, params = {}, meta = {}) {
    const about = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': { elicitation: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } }
    }
    const answer = await fetch(`${this.endpoint}/mcp`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', 'MCP-Protocol-Version': '2026-07-28',
        'Mcp-Method': method, ...(name ? { 'Mcp-Name': name } : {})
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: { ...about, ...meta } } })
    })
    return answer.json()
  }

  async tool(name) {
    return (await this.post('tools/list')).result.tools.find(tool => tool.name === name)
  }

  /** Calls a tool, and returns the id of its task. */
  async call(tool, args = {}, meta = {}) {
    const reply = await this.post('tools/call', tool, { name: tool, arguments: args }, meta)
    assert.ok(reply.result?.taskId, JSON.stringify(reply))
    return reply.result.taskId
  }

  async task(task) {
    return (await this.post('tasks/get', task, { taskId: task })).result
  }

  ended(task) {
    return eventually('the end of the task', async () => {
      // A front end that has just lost Redis answers with an error.
      const { result } = await this.post('tasks/get', task, { taskId: task })
      return ENDED.includes(result?.status) && result
    })
  }

  async result(tool, args = {}) {
    const ended = await this.ended(await this.call(tool, args))
    assert.equal(ended.status, 'completed', JSON.stringify(ended))
    return ended.result
  }

  cancel(task) {
    return this.post('tasks/cancel', task, { taskId: task })
  }

  async record(task) {
    const flat = await this.redis('HGETALL', `tf:{0}:task:${task}`)
    return Object.fromEntries(flat.flatMap((name, i) => (i % 2 ? [] : [[name, flat[i + 1]]])))
  }
}

/** A worker as a process of its own. */
export class Process {
  constructor(fleet, script, settings = {}) {
    this.notes = mkdtempSync(join(fleet.folder, 'worker-'))
    const own = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`TASKFERRY_${name.toUpperCase()}`, value]))
    this.child = spawn(process.execPath, [script], {
      stdio: ['ignore', 'inherit', openSync(join(this.notes, 'log'), 'w')],
      env: { ...process.env, TASKFERRY_REDIS_URL: fleet.url, NOTES: this.notes, ...own }
    })
    this.ended = new Promise(ended => this.child.on('exit', code => ended(code)))
  }

  async ready() {
    await eventually('a worker that works', () => this.lines('working').length || this.child.exitCode !== null)
    assert.equal(this.child.exitCode, null, this.log())
    return this
  }

  log() {
    return readFileSync(join(this.notes, 'log'), 'utf8')
  }

  /** The fields of the log lines with this message. */
  lines(message) {
    const lines = this.log().split('\n').filter(line => line.startsWith('{'))
    return lines.map(line => JSON.parse(line).fields).filter(fields => fields.message === message)
  }

  /** What a tool wrote to a file of this name. */
  async note(name) {
    const path = join(this.notes, name)
    return eventually(`the note ${name}`, () => existsSync(path) && readFileSync(path, 'utf8'))
  }

  kill(signal) {
    this.child.kill(signal)
  }

  /** Its exit code. One that does not end is ended. */
  async wait() {
    await Promise.race([this.ended, sleep(30_000, undefined, { ref: false })])
    if (this.child.exitCode === null) this.kill('SIGKILL')
    return this.ended
  }

  async close() {
    if (this.child.exitCode === null) {
      this.kill('SIGCONT')
      this.kill('SIGTERM')
    }
    await this.wait()
  }
}
