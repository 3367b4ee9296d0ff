// Workers in Node that are stopped, frozen, or end by themselves; and tools that block.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { BINARY, eventually, Fleet, Process } from './rig.mjs'

const TOOLS = fileURLToPath(new URL('tools.mjs', import.meta.url))
const said = result => result.content[0].text

describe('a worker alone', () => {
  let fleet
  let own = []
  const start = async (settings = {}) => {
    const worker = new Process(fleet, TOOLS, { slots: '2', lease: '1s', ...settings })
    own.push(worker)
    return worker.ready()
  }
  before(async () => {
    fleet = await Fleet.start()
    await (await start({ idle_exit: '1s' })).wait()
    await eventually('the tools are listed', () => fleet.tool('nap'))
  })
  // Also after one that failed: what is left would take the jobs of the next.
  afterEach(async () => {
    await Promise.all(own.map(worker => worker.close()))
    own = []
  })
  after(() => fleet.close())

  test('the lease is kept beside code that blocks', async () => {
    const worker = await start()
    assert.equal(said(await fleet.result('blocks', { seconds: 3 })), 'slept')
    await eventually('the end is told', () => worker.lines('ended').length)
    assert.equal(worker.lines('ended')[0].outcome, 'completed')
  })

  test('a stale attempt is refused and told', async () => {
    const worker = await start()
    const task = await fleet.call('nap', { seconds: 0.8 })
    await worker.note('nap.began')
    worker.kill('SIGSTOP')
    let entry
    const base = 'tf:{0}:'
    const keys = [2, `${base}task:${task}`, `${base}queue:default`]
    const attempt = await eventually('the lease is over', async () => {
      // Housekeeping may give it another entry meanwhile.
      entry = (await fleet.record(task)).entry
      const [tag, attempt] = await fleet.redis('FCALL', 'tf3_claim', ...keys, base, task, entry, 'other', 60000, 1)
      return tag === 'OK' && attempt
    })
    worker.kill('SIGCONT')
    await eventually('the line', () => worker.lines('ended').some(line => line.outcome === 'lost lease'))
    assert.deepEqual([attempt, (await fleet.record(task)).worker], ['2', 'other'])
    await fleet.redis('FCALL', 'tf3_finish', ...keys, base, task, attempt, entry, 'completed', 'result', '{"content":[]}', '0', '')
  })

  test('connections that break, and data that is lost, stop nothing', async () => {
    const worker = await start()
    const task = await fleet.call('nap', { seconds: 1.2 })
    await worker.note('nap.began')
    for (const kind of ['normal', 'pubsub']) await fleet.redis('CLIENT', 'KILL', 'TYPE', kind, 'SKIPME', 'yes')
    assert.equal(said((await fleet.ended(task)).result), 'slept in attempt 1')
    await eventually('it listens again', async () => (await fleet.redis('PUBSUB', 'CHANNELS', 'tf:{0}:inbox:*')).length)
    const cancelled = await fleet.call('nap', { seconds: 30, name: 'again' })
    await worker.note('again.began')
    const began = Date.now()
    await fleet.cancel(cancelled)
    assert.equal(await worker.note('again.cancelled'), 'CANCELLED')
    assert.ok(Date.now() - began < 300)
    await fleet.redis('FLUSHALL')
    await eventually('the tools are listed again', () => fleet.tool('greet'))
    assert.equal(said(await fleet.result('greet', { name: 'Ada' })), 'Hello, Ada.')
  })

  test('the roles of Redis are enough', async () => {
    for (const role of ['worker', 'foreign-worker']) {
      const rules = execFileSync(BINARY, ['acl', role, '--file'], { encoding: 'utf8' }).replace('PASSWORD', 'pw')
      const [, name, ...rights] = rules.trim().split(' ')
      await fleet.redis('ACL', 'SETUSER', name, 'reset', ...rights)
      const worker = await start({ redis_url: fleet.url.replace('redis://', `redis://${name}:pw@`), role, park_after: '0s' })
      const asked = await fleet.call('ask')
      await eventually('a question', async () => (await fleet.task(asked)).status === 'input_required')
      await fleet.post('tasks/update', asked, { taskId: asked, inputResponses: { to: { action: 'accept', content: { to: 'Bob' } } } })
      const cancelled = await fleet.call('nap', { seconds: 30, name: 'stopped' })
      await worker.note('stopped.began')
      await fleet.cancel(cancelled)
      assert.equal(await worker.note('stopped.cancelled'), 'CANCELLED')
      const large = await fleet.call('shapes', { shape: 'arguments', said: 'x'.repeat(100_000) })
      for (const task of [asked, await fleet.call('fails', { how: 'once' }), large]) {
        const { result } = await fleet.ended(task)
        assert.ok(result && !result.isError, JSON.stringify(result))
      }
      worker.kill('SIGTERM')
      assert.equal(await worker.wait(), 0)
      assert.ok(!worker.log().includes('NOPERM'), worker.log())
    }
  })

  test('SIGTERM drains and gives back', async () => {
    const worker = await start({ drain_timeout: '500ms' })
    const [short, long] = [await fleet.call('nap', { seconds: 0.4, name: 'short' }), await fleet.call('nap', { seconds: 30, name: 'long' })]
    await worker.note('short.began')
    await worker.note('long.began')
    const waiting = await fleet.call('nap', { seconds: 0.01, name: 'waiting' })
    worker.kill('SIGTERM')
    assert.equal(await worker.wait(), 0)
    assert.equal(await worker.note('long.cancelled'), 'the worker stops')
    assert.equal((await fleet.task(short)).status, 'completed')
    for (const task of [long, waiting]) assert.equal((await fleet.record(task)).status, 'queued')
    assert.equal((await fleet.record(long)).crashes, '0')
    await fleet.cancel(long)
    assert.equal(await (await start({ once: 'true' })).wait(), 0)
    assert.equal(said((await fleet.ended(waiting)).result), 'slept in attempt 1')
  })

  test('a tool that may run once only fails when its worker stops', async () => {
    const worker = await start({ drain_timeout: '0s' })
    const task = await fleet.call('once_only')
    await worker.note('once_only.began')
    worker.kill('SIGTERM')
    assert.equal(await worker.wait(), 0)
    assert.match((await fleet.ended(task)).error.message, /its work may be partly done/)
  })

  test('workers end by themselves', async () => {
    const tasks = []
    for (const name of ['j0', 'j1', 'j2']) tasks.push(await fleet.call('nap', { seconds: 0.3, name }))
    assert.equal(await (await start({ max_jobs: '2', slots: '4' })).wait(), 0)
    const statuses = await Promise.all(tasks.map(async task => (await fleet.record(task)).status))
    assert.deepEqual(statuses.sort(), ['completed', 'completed', 'queued'])
    assert.equal(await (await start({ once: 'true' })).wait(), 0)
    assert.equal((await fleet.ended(tasks[2])).status, 'completed')
  })

  test('a tool of another worker goes back, and a foreign entry is buried', async () => {
    const definition = '{"name":"unknown","queue":"other","input_schema":{"type":"object"}}'
    const keys = [3, 'tf:{fleet}:tools:other', 'tf:{fleet}:queues', 'tf:{fleet}:homes']
    await fleet.redis('FCALL', 'tf3_register_tools', ...keys, 'tf:{fleet}:tools:changed', 'other', 'unknown', definition)
    await eventually('the tool is listed', () => fleet.tool('unknown'))
    const worker = await start()
    const task = await fleet.call('unknown')
    await eventually('a release', async () => (await fleet.record(task)).waits?.startsWith('time'))
    await fleet.cancel(task)
    await fleet.redis('XADD', 'tf:{0}:queue:default', '*', 'what', 'ever')
    await eventually('the line', () => worker.lines("an entry that is no job's is a dead letter").length)
  })

  test('scripts do where functions cannot be', async () => {
    const scripts = join(fleet.folder, 'scripts.json')
    const file = openSync(scripts, 'w')
    execFileSync(BINARY, ['contract', 'print', '--eval'], { stdio: ['ignore', file, 'inherit'] })
    closeSync(file)
    await fleet.redis('SCRIPT', 'FLUSH')
    const worker = await start({ scripts, once: 'true' })
    const task = await fleet.call('nap', { seconds: 0 })
    assert.equal(await worker.wait(), 0)
    assert.equal((await fleet.task(task)).status, 'completed')
  })
})
