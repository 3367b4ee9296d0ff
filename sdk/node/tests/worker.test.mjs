// A worker in Node does what docs/CONTRACT.md says, against a real front end and a real Redis.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { BINARY, eventually, Fleet, Process } from './rig.mjs'

const TOOLS = fileURLToPath(new URL('tools.mjs', import.meta.url))
const said = result => result.content[0].text
let fleet, shared

describe('a worker among others', { concurrency: 4 }, () => {
  before(async () => {
    fleet = await Fleet.start()
    shared = await new Process(fleet, TOOLS, { slots: '8', lease: '1s', park_after: '300ms', max_result: '2MiB' }).ready()
    await eventually('the tools are listed', async () => (await fleet.tool('greet')) && (await fleet.tool('context')))
  })
  after(async () => {
    await shared.close()
    await fleet.close()
  })

  test('each kind of result arrives', async () => {
    assert.equal(said(await fleet.result('greet', { name: 'Ada' })), 'Hello, Ada.')
    const names = ['nothing', 'odd', 'dict', 'image', 'list', 'whole', 'failed']
    const found = Object.fromEntries(await Promise.all(names.map(async shape => [shape, await fleet.result('shapes', { shape })])))
    assert.deepEqual(found.nothing.content, [])
    assert.equal(said(found.odd), '\u0000 ünï 🚢 \u2028')
    assert.deepEqual(found.dict.structuredContent, { deep: [1, 2.5, null, 'ü'] })
    assert.deepEqual(JSON.parse(said(found.dict)), found.dict.structuredContent)
    assert.deepEqual(found.image.content, [{ type: 'image', data: 'iVBORw==', mimeType: 'image/png' }])
    assert.deepEqual(found.list.content.map(item => item.type), ['text', 'image'])
    assert.deepEqual([found.whole.structuredContent, found.whole._meta.a, found.failed.isError], [{ n: 2 }, 1, true])
    assert.deepEqual((await fleet.result('promised', { kept: true })).structuredContent, { n: 1 })
    assert.match(said(await fleet.result('promised', {})), /outputSchema/)
  })

  test('large arguments and results arrive, and too large ones are errors', async () => {
    assert.equal(said(await fleet.result('shapes', { shape: 'big', size: 1 << 20 })).length, 1 << 20)
    const { structuredContent } = await fleet.result('shapes', { shape: 'arguments', said: 'é'.repeat(300_000) })
    assert.deepEqual(structuredContent, { length: 300_000 })
    const large = await fleet.result('shapes', { shape: 'big', size: 3 << 20 })
    assert.ok(large.isError && said(large).includes('max_result'), said(large))
  })

  test('what cannot be a result is an error that says why', async () => {
    for (const [shape, why] of [['half', 'surrogate'], ['nan', 'no JSON'], ['number', 'a number'], ['bad', 'not an array']]) {
      const result = await fleet.result('shapes', { shape })
      assert.ok(result.isError && said(result).includes(why), said(result))
    }
  })

  test('failures end as they are thrown', async () => {
    const hows = ['tool', 'rpc', 'typo', 'nothing', 'once', 'always']
    const tasks = Object.fromEntries(await Promise.all(hows.map(async how => [how, await fleet.call('fails', { how })])))
    const found = Object.fromEntries(await Promise.all(hows.map(async how => [how, await fleet.ended(tasks[how])])))
    for (const [how, text] of [['tool', 'there is no such report'], ['typo', 'ReferenceError'], ['nothing', 'rejected'], ['always', 'the file is locked']]) {
      assert.ok(found[how].result.isError && said(found[how].result).includes(text), JSON.stringify(found[how]))
    }
    assert.deepEqual(found.rpc.error, { code: -32602, message: 'the month is wrong' })
    assert.equal(said(found.once.result), 'attempt 2')
    assert.equal((await fleet.record(tasks.always)).attempt, '3')
    assert.ok(JSON.stringify(await fleet.redis('XRANGE', 'tf:{0}:dead', '-', '+')).includes(tasks.always))
  })

  test('a tool knows its job', async () => {
    const trace = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'vendor=1', baggage: 'user=7' }
    const task = await fleet.call('context', { n: 1 }, trace)
    const { structuredContent: job } = (await fleet.ended(task)).result
    assert.deepEqual([job.taskId, job.origin, job.attempt, job.tool, job.queue, job.owner], [task, task, 1, 'context', 'other', ''])
    assert.deepEqual([job.trace, JSON.parse(job.rawArguments)], [trace, { n: 1 }])
    assert.ok(job.timeLeft > 599 && job.timeLeft <= 600)
  })

  test('progress and the log tell, without arguments and ids', async () => {
    const task = await fleet.call('greet', { name: 'a secret name' })
    await fleet.ended(task)
    const { progress, total, message } = await fleet.record(task)
    assert.deepEqual([progress, total, message], ['1', '3', 'looking for the name'])
    await fleet.result('logs')
    await eventually('the line of the log', () => shared.lines('log').some(line => line.line.includes('odd parts')))
    const digest = execFileSync(BINARY, ['digest', task], { encoding: 'utf8' })
    const [line] = shared.lines('ended').filter(line => digest.includes(line.task))
    assert.deepEqual([line.outcome, line.attempt], ['completed', '1'])
    assert.ok(!shared.log().includes('a secret name') && !shared.log().includes(task))
    const [worker] = await fleet.redis('ZRANGE', 'tf:{fleet}:workers', 0, -1)
    assert.equal(await fleet.redis('HGET', `tf:{fleet}:worker:${worker}`, 'queues'), 'default,other')
    assert.deepEqual(await fleet.redis('PUBSUB', 'NUMSUB', `tf:{0}:inbox:${worker}`), [`tf:{0}:inbox:${worker}`, 1])
  })

  test('a cancel reaches the tool at once, and a timeout is an error', async () => {
    const task = await fleet.call('nap', { seconds: 30, name: 'cancelled' })
    await shared.note('cancelled.began')
    const began = Date.now()
    await fleet.cancel(task)
    assert.equal(await shared.note('cancelled.cancelled'), 'CANCELLED')
    assert.ok(Date.now() - began < 300, 'the channel tells, not the next renewal')
    assert.equal((await fleet.ended(task)).status, 'cancelled')
    assert.match(said(await fleet.result('slow')), /timed out after 0.3s/)
  })

  test('an answer comes while the tool waits, or after it was parked', async () => {
    const answer = async task => {
      await eventually('a question', async () => (await fleet.task(task)).status === 'input_required')
      await fleet.post('tasks/update', task, { taskId: task, inputResponses: { to: { action: 'accept', content: { to: 'Bob' } } } })
      return (await fleet.ended(task)).result.structuredContent
    }
    assert.deepEqual(await answer(await fleet.call('ask')), { to: 'Bob', attempt: 1 })
    const parked = await fleet.call('ask')
    await eventually('a parked job', async () => (await fleet.record(parked)).worker === '')
    assert.deepEqual(await answer(parked), { to: 'Bob', attempt: 2 })
    assert.match(said(await fleet.result('ask_a_model')), /capability sampling/)
  })
})
