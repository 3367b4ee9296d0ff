// Tools with a rate.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from '../taskferry.mjs'
import { eventually, Fleet, Process } from './rig.mjs'

const TOOLS = fileURLToPath(new URL('tools.mjs', import.meta.url))
const inputSchema = { type: 'object' }
const defined = options => {
  const worker = new Worker()
  worker.tool('send', { inputSchema, ...options }, () => 'sent')
  return JSON.parse(worker.tools.get('send').definition).rate
}

test('a definition has the rate', () => {
  assert.equal(defined({}), undefined)
  assert.deepEqual(defined({ rate: '5/1m' }), { count: 5, window_ms: 60_000 })
  assert.deepEqual(defined({ rate: '100000/1d', rateExcess: 'wait' }), { count: 100_000, window_ms: 86_400_000 })
  assert.deepEqual(defined({ rate: '3/1500ms', rateExcess: 'refuse' }), { count: 3, window_ms: 1500, excess: 'refuse' })
})

test('what is no rate is told what would be one', () => {
  const written = /tool send: rate must be a whole number and a time, as in '5\/1m'/
  const bounds = /tool send: rate must be of 1 to 100000 attempts in 1s to 1d/
  for (const [options, said] of [
    [{ rate: '5' }, written], [{ rate: '5/m' }, written], [{ rate: '-5/1m' }, written], [{ rate: 5 }, written],
    [{ rate: '0/1m' }, bounds], [{ rate: '100001/1m' }, bounds], [{ rate: '5/999ms' }, bounds], [{ rate: '5/2d' }, bounds],
    [{ rate: '5/1m', rateExcess: 'drop' }, /'wait' or 'refuse'/],
    [{ rateExcess: 'refuse' }, /beyond rate, which is not set/]
  ]) assert.throws(() => defined(options), { name: 'TypeError', message: said }, JSON.stringify(options))
})

test('no more attempts begin in a time than a tool says, and calls beyond it wait or are refused', async t => {
  const fleet = await Fleet.start()
  t.after(() => fleet.close())
  const worker = await new Process(fleet, TOOLS, { slots: '4' }).ready()
  t.after(() => worker.close())
  await eventually('the tools are listed', () => fleet.tool('paced'))
  const tasks = []
  for (let i = 0; i < 5; i += 1) tasks.push(await fleet.call('paced'))
  const began = []
  for (const task of tasks) {
    assert.equal((await fleet.ended(task)).status, 'completed')
    began.push(Number((await fleet.record(task)).started_ms))
  }
  began.sort((a, b) => a - b)
  for (let i = 2; i < began.length; i += 1) assert.ok(began[i] - began[i - 2] > 1000, String(began))
  await fleet.result('scarce')
  const refused = await fleet.post('tools/call', 'scarce', { name: 'scarce', arguments: {} })
  assert.match(refused.error.message, /no more calls of scarce are taken now: its rate is 1\/1h/)
})
