// How a worker shares its slots out among its queues.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { eventually, Fleet, Process } from './rig.mjs'

const TOOLS = fileURLToPath(new URL('queued-tools.mjs', import.meta.url))

describe('queues of a worker', () => {
  let fleet
  let own = []
  const start = (queues = {}, { hold = '', slots = '1' } = {}) => {
    Object.assign(process.env, { QUEUES: JSON.stringify(queues), HOLD: hold })
    const worker = new Process(fleet, TOOLS, { slots })
    own.push(worker)
    return worker
  }
  const begun = worker => {
    const path = join(worker.notes, 'begun')
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
  }
  const count = (worker, queue) => begun(worker).filter(other => other === queue).length
  const calls = async (tools, times) => {
    const tasks = []
    for (const tool of tools) for (let i = 0; i < times; i += 1) tasks.push(await fleet.call(tool))
    return tasks
  }
  const letGo = (worker, ...queues) => queues.forEach(queue => writeFileSync(join(worker.notes, queue), ''))
  before(async () => {
    fleet = await Fleet.start()
    await (await start().ready()).close()
    await eventually('the tools are listed', async () => (await fleet.tool('bulk')) && fleet.tool('asks'))
  })
  // Also after one that failed: what is left would take the jobs of the next.
  afterEach(async () => {
    await Promise.all(own.map(worker => worker.close()))
    own = []
  })
  after(() => fleet.close())

  test('jobs that wait begin in the shares of their queues', async () => {
    const tasks = await calls(['bulk', 'urgent'], 12)
    const worker = start({ urgent: 3 })
    for (const task of tasks) await fleet.ended(task)
    const all = begun(worker)
    for (let i = 0; i < 16; i += 4) {
      assert.equal(all.slice(i, i + 4).filter(queue => queue === 'urgent').length, 3, all.join())
    }
  })

  test('an empty queue holds up no other', async () => {
    const tasks = await calls(['bulk'], 6)
    const worker = start({ urgent: 100 })
    for (const task of tasks) await fleet.ended(task)
    assert.equal(count(worker, 'bulk'), 6)
  })

  test('a queue takes no more slots than its bound and leaves the rest', async () => {
    const tasks = await calls(['bulk', 'urgent'], 5)
    const worker = start({ bulk: { slots: 2 } }, { hold: '1', slots: '4' })
    await eventually('four run', () => begun(worker).length === 4)
    assert.equal(count(worker, 'bulk'), 2)
    const [pending] = await fleet.redis('XPENDING', 'tf:{0}:queue:bulk', 'workers')
    assert.equal(Number(pending), 2)
    letGo(worker, 'urgent')
    await eventually('all urgent ones ran', () => count(worker, 'urgent') === 5)
    assert.equal(count(worker, 'bulk'), 2)
    letGo(worker, 'bulk')
    for (const task of tasks) await fleet.ended(task)
  })

  test("a job that waits for an answer leaves its queue's slot too", async () => {
    const worker = start({ bulk: { slots: 1 } }, { hold: '1', slots: '4' })
    const asking = await fleet.call('asks')
    await eventually('it asks', async () => (await fleet.task(asking)).status === 'input_required')
    const other = await fleet.call('bulk')
    await eventually('the other one runs', () => begun(worker).length === 1)
    const response = { to: { action: 'accept', content: { to: 'Bob' } } }
    await fleet.post('tasks/update', asking, { taskId: asking, inputResponses: response })
    const urgent = await fleet.call('urgent')
    await eventually('a free slot is used', () => count(worker, 'urgent') === 1)
    assert.equal(count(worker, 'bulk'), 1)
    letGo(worker, 'bulk', 'urgent')
    for (const task of [asking, other, urgent]) await fleet.ended(task)
  })

  const blocked = async () => / flags=b .* cmd=xreadgroup /.test(await fleet.redis('CLIENT', 'LIST'))
  const reads = async () => Number(/cmdstat_xreadgroup:calls=(\d+)/.exec(await fleet.redis('INFO', 'commandstats'))[1])

  test('an idle worker of several queues blocks as long as one of a single queue', async () => {
    const worker = await start({}, { slots: '2' }).ready()
    await eventually('a read blocks', blocked)
    const before = await reads()
    await sleep(3000)
    // A read that ends is followed by one of each queue, and one that blocks.
    const more = (await reads()) - before
    assert.ok(more <= 3, `${more} reads`)
    const began = Date.now()
    worker.kill('SIGTERM')
    assert.equal(await worker.wait(), 0)
    assert.ok(Date.now() - began < 2000)
  })

  test('a read that blocks gives its slot to a job that has its answer', async () => {
    await start().ready()
    const asking = await fleet.call('asks')
    await eventually('it asks', async () => (await fleet.task(asking)).status === 'input_required')
    await eventually('a read blocks', blocked)
    const began = Date.now()
    const response = { to: { action: 'accept', content: { to: 'Bob' } } }
    await fleet.post('tasks/update', asking, { taskId: asking, inputResponses: response })
    await fleet.ended(asking)
    assert.ok(Date.now() - began < 2500)
  })

  test('a worker is full while it is busy, and not because it reads', async () => {
    const worker = await start({}, { hold: '1' }).ready()
    const said = async () => {
      const [key = 'none'] = await fleet.redis('KEYS', 'tf:{fleet}:worker:*')
      return (await fleet.redis('HMGET', key, 'busy', 'doing')).join()
    }
    const task = await fleet.call('bulk')
    await eventually('it is full', async () => (await said()) === '1,full')
    letGo(worker, 'bulk')
    await fleet.ended(task)
    await eventually('it reads again', async () => (await said()) === '0,fetching')
  })

  test('what cannot be is refused, all at once', async () => {
    const worker = start({ bulky: 2, bulk: 0, urgent: { slots: 1025, slot: 1 } })
    assert.equal(await worker.wait(), 2)
    for (const part of [
      'queues: bulky: no tool of this worker is on that queue; there are bulk, urgent',
      'queues: bulk: weight must be a whole number from 1 to 100',
      'queues: urgent: slots must be a whole number from 1 to 1024',
      'queues: urgent: slot: there are weight and slots'
    ]) {
      assert.ok(worker.log().includes(part), worker.log())
    }
  })
})
