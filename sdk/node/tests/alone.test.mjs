// Workers in Node that are stopped, frozen, or end by themselves; and tools that block.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { BINARY, eventually, Fleet, Process } from './rig.mjs'

const TOOLS = fileURLToPath(new URL('tools.mjs', import.meta.url))
const said = result => result.content[0].text

describe('a worker alone', () => {
  let fleet
  const own = []
  const start = async (settings = {}) => {
    const worker = new Process(fleet, TOOLS, { slots: '2', lease: '1s', ...settings })
    own.push(worker)
    return worker.ready()
  }
  before(async () => {
    fleet = await Fleet.start()
    await (await start({ idle_exit: '1s' })).ended
    await eventually('the tools are listed', () => fleet.tool('nap'))
  })
  after(async () => {
    await Promise.all(own.map(worker => worker.close()))
    await fleet.close()
  })

  test('the lease is kept beside code that blocks', async () => {
    const worker = await start()
    assert.equal(said(await fleet.result('blocks', { seconds: 3 })), 'slept')
    assert.deepEqual(worker.lines('ended').map(line => line.outcome), ['completed'])
    await worker.close()
  })

  test('a stale attempt is refused and told', async () => {
    const worker = await start()
    const task = await fleet.call('nap', { seconds: 0.8 })
    await worker.note('nap.began')
    worker.kill('SIGSTOP')
    const { entry } = await fleet.record(task)
    const base = 'tf:{0}:'
    const keys = [2, `${base}task:${task}`, `${base}queue:default`]
    const attempt = await eventually('the lease is over', async () => {
      const [tag, attempt] = await fleet.redis('FCALL', 'tf3_claim', ...keys, base, task, entry, 'other', 60000, 1)
      return tag === 'OK' && attempt
    })
    worker.kill('SIGCONT')
    await eventually('the line', () => worker.lines('ended').some(line => line.outcome === 'lost lease'))
    assert.deepEqual([attempt, (await fleet.record(task)).worker], ['2', 'other'])
    await fleet.redis('FCALL', 'tf3_finish', ...keys, base, task, attempt, entry, 'completed', 'result', '{"content":[]}', '0', '')
    await worker.close()
  })

  test('SIGTERM drains and gives back', async () => {
    const worker = await start({ drain_timeout: '500ms' })
    const [short, long] = [await fleet.call('nap', { seconds: 0.4, name: 'short' }), await fleet.call('nap', { seconds: 30, name: 'long' })]
    await worker.note('short.began')
    await worker.note('long.began')
    const waiting = await fleet.call('nap', { seconds: 0.01, name: 'waiting' })
    worker.kill('SIGTERM')
    assert.equal(await worker.ended, 0)
    assert.equal(await worker.note('long.cancelled'), 'the worker stops')
    assert.equal((await fleet.task(short)).status, 'completed')
    for (const task of [long, waiting]) assert.equal((await fleet.record(task)).status, 'queued')
    assert.equal((await fleet.record(long)).crashes, '0')
    await fleet.cancel(long)
    assert.equal(await (await start({ once: 'true' })).ended, 0)
    assert.equal(said((await fleet.ended(waiting)).result), 'slept in attempt 1')
  })

  test('a tool that may run once only fails when its worker stops', async () => {
    const worker = await start({ drain_timeout: '0s' })
    const task = await fleet.call('once_only')
    await worker.note('once_only.began')
    worker.kill('SIGTERM')
    assert.equal(await worker.ended, 0)
    assert.match((await fleet.ended(task)).error.message, /its work may be partly done/)
  })

  test('workers end by themselves', async () => {
    const tasks = []
    for (const name of ['j0', 'j1', 'j2']) tasks.push(await fleet.call('nap', { seconds: 0.3, name }))
    assert.equal(await (await start({ max_jobs: '2', slots: '4' })).ended, 0)
    const statuses = await Promise.all(tasks.map(async task => (await fleet.record(task)).status))
    assert.deepEqual(statuses.sort(), ['completed', 'completed', 'queued'])
    assert.equal(await (await start({ once: 'true' })).ended, 0)
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
    await worker.close()
  })

  test('scripts do where functions cannot be', async () => {
    const scripts = join(fleet.folder, 'scripts.json')
    writeFileSync(scripts, execFileSync(BINARY, ['contract', 'print', '--eval']))
    await fleet.redis('SCRIPT', 'FLUSH')
    const worker = await start({ scripts, once: 'true' })
    const task = await fleet.call('nap', { seconds: 0 })
    assert.equal(await worker.ended, 0)
    assert.equal((await fleet.task(task)).status, 'completed')
  })
})
