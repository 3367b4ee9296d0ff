// The worker of docs/WORKER-CONFORMANCE.md in Node.
//
// scripts/worker-conformance -- node sdk/node/examples/conformance.mjs

import { setTimeout as sleep } from 'node:timers/promises'
import { elicitation, Result, Retry, ToolError, Worker } from 'taskferry'

const worker = new Worker()

/** Adds a tool; of its arguments each is required, but for those whose type ends with a question mark. */
const tool = (name, description, types, handler, options = {}) => {
  const properties = Object.fromEntries(Object.entries(types).map(([key, type]) => [key, { type: type.replace('?', '') }]))
  const required = Object.keys(types).filter(key => !types[key].endsWith('?'))
  worker.tool(name, { description, queue: 'conformance', inputSchema: { type: 'object', required, properties }, ...options }, handler)
}

/** Computes for so long: nothing else runs here meanwhile, but the thread that renews leases. */
const block = seconds => {
  for (const until = Date.now() + seconds * 1000; Date.now() < until; );
}

tool('echo', 'Gives the text back', { text: 'string' }, ({ text }) => text)

tool(
  'sleep', 'Blocks for so long, and tells its attempt', { seconds: 'number' },
  ({ seconds }, job) => {
    block(seconds)
    return `attempt ${job.attempt}`
  },
  { attempts: 3, crashLimit: 2 }
)

tool('wait', 'Waits for so long, and can be stopped meanwhile', { seconds: 'number' }, ({ seconds }, job) =>
  sleep(seconds * 1000, 'waited', { signal: job.signal })
)

tool('late', 'Waits for longer than its timeout', {}, (_, job) => sleep(30_000, 'too late', { signal: job.signal }), { timeout: 1 })

tool('progress', 'Reports in three steps', {}, async (_, job) => {
  for (const [i, name] of ['one', 'two', 'three'].entries()) {
    job.progress(i + 1, 3, name)
    await sleep(300)
  }
  return 'done'
})

tool('log', 'Logs a line', {}, (_, job) => {
  job.log('info', 'a line of the tool')
  return 'logged'
})

tool('ask', 'Asks for a name, blocks for so long, and greets', { seconds: 'number?' }, async ({ seconds = 0 }, job) => {
  const form = { type: 'object', properties: { name: { type: 'string' } } }
  const { action, content } = await job.ask('name', elicitation('Your name?', form))
  block(seconds)
  if (action !== 'accept') throw new ToolError('nobody said a name')
  return `Hello, ${content.name}`
})

tool('fail', 'Fails, for the caller to read', { text: 'string' }, ({ text }) => {
  throw new ToolError(text)
})

tool(
  'retry', 'Fails in a way that another attempt may mend, so many times', { times: 'integer' },
  ({ times }, job) => {
    if (job.attempt <= times) throw new Retry(`attempt ${job.attempt} failed`)
    return `attempt ${job.attempt}`
  },
  { attempts: 3, backoff: [0.2, 1] }
)

tool('big', 'Gives a text of so many letters', { letters: 'integer' }, ({ letters }) => 'x'.repeat(letters))

tool('empty', 'Gives nothing', {}, () => new Result({ content: [] }))

tool('context', 'Tells what it knows of its call', {}, (_, job) =>
  JSON.stringify({
    task_id: job.taskId, origin_task_id: job.origin, attempt: job.attempt, owner: job.owner, traceparent: job.traceparent ?? null
  })
)

await worker.run()
