// The worker that the tests run.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { elicitation, image, Result, Retry, RpcError, sampling, text, ToolError, Worker } from '../taskferry.mjs'

const note = (name, said) => writeFileSync(join(process.env.NOTES, name), String(said))
const any = { type: 'object' }
const spin = ms => {
  for (const until = Date.now() + ms; Date.now() < until; );
}
const shapes = {
  nothing: undefined,
  odd: '\u0000 ünï 🚢 \u2028',
  dict: { deep: [1, 2.5, null, 'ü'] },
  image: image(Buffer.from('\x89PNG', 'latin1')),
  list: [text('a'), image(Buffer.from('b'))],
  whole: new Result({ content: [text('one')], structuredContent: { n: 2 }, _meta: { a: 1 } }),
  failed: new Result({ content: [text('it failed')], isError: true }),
  half: 'half \ud83d',
  nan: { n: NaN },
  number: 7,
  bad: new Result({ content: 'no array' })
}

const worker = new Worker()
worker
  .tool('greet', { description: 'Greets somebody.', inputSchema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } } },
    ({ name }, job) => {
      job.progress(1, 3, 'looking for the name')
      return `Hello, ${name}.`
    })
  .tool('paced', { inputSchema: any, rate: '2/1s' }, () => 'ran')
  .tool('scarce', { inputSchema: any, rate: '1/1h', rateExcess: 'refuse' }, () => 'ran')
  .tool('shapes', { inputSchema: any }, ({ shape, size, said }) => {
    if (shape === 'big') return 'x'.repeat(size)
    if (shape === 'arguments') return { length: said.length }
    return shapes[shape]
  })
  .tool('promised', { inputSchema: any, outputSchema: { type: 'object', required: ['n'], properties: { n: { type: 'number' } } } },
    ({ kept }) => (kept ? { n: 1 } : 'no object'))
  .tool('fails', { inputSchema: any, backoff: [0.05, 0.1] }, ({ how }, job) => {
    if (how === 'tool') throw new ToolError('there is no such report')
    if (how === 'rpc') throw new RpcError(-32602, 'the month is wrong')
    if (how === 'always') throw new Retry('the file is locked')
    if (how === 'once' && job.attempt === 1) throw new Retry('the file is locked', { after: 0.05 })
    if (how === 'once') return `attempt ${job.attempt}`
    if (how === 'nothing') return Promise.reject()
    return undefinedName // eslint-disable-line no-undef
  })
  .tool('slow', { inputSchema: any, timeout: 0.3, stopGrace: 0.2 }, (_, job) => sleep(30_000, 'slept', { signal: job.signal }))
  .tool('nap', { inputSchema: any }, async ({ seconds, name = 'nap' }, job) => {
    note(`${name}.began`, job.attempt)
    try {
      await sleep(seconds * 1000, undefined, { signal: job.signal })
    } catch (fault) {
      note(`${name}.cancelled`, job.stopping)
      throw fault
    }
    return `slept in attempt ${job.attempt}`
  })
  .tool('blocks', { inputSchema: any }, ({ seconds }) => {
    note('blocks.began', 'yes')
    spin(seconds * 1000)
    return 'slept'
  })
  .tool('once_only', { inputSchema: any, attempts: 1, crashLimit: 1, stopGrace: 0.2 }, async () => {
    note('once_only.began', 'yes')
    await sleep(30_000)
  })
  .tool('ask', { inputSchema: any }, async (_, job) => {
    const answer = await job.ask('to', elicitation('To whom?', { type: 'object', properties: { to: { type: 'string' } } }))
    return { to: answer.content.to, attempt: job.attempt }
  })
  .tool('ask_a_model', { inputSchema: any }, (_, job) => job.ask('model', sampling({ messages: [], maxTokens: 5 })))
  .tool('context', { inputSchema: any, queue: 'other' }, (args, job) => {
    const { taskId, origin, attempt, tool, queue, owner, trace, timeLeft, rawArguments, deadline } = job
    return { taskId, origin, attempt, tool, queue, owner, trace, timeLeft, rawArguments, deadline: deadline.toISOString() }
  })
  .tool('logs', { inputSchema: any }, (_, job) => job.log('error', 'line \u2028 with odd parts'))

await worker.run()
