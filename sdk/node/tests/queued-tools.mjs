// A worker of two queues, which is let go by files.

import { appendFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { elicitation, Worker } from '../taskferry.mjs'

const { NOTES, HOLD, QUEUES = '{}' } = process.env
const worker = new Worker({ queues: JSON.parse(QUEUES) })
const inputSchema = { type: 'object' }

const ran = async queue => {
  appendFileSync(join(NOTES, 'begun'), `${queue}\n`)
  while (HOLD && !existsSync(join(NOTES, queue))) await sleep(20)
  return queue
}

for (const queue of ['urgent', 'bulk']) worker.tool(queue, { inputSchema, queue }, () => ran(queue))
worker.tool('asks', { inputSchema, queue: 'bulk' }, async (_, job) => {
  await job.ask('to', elicitation('To whom?', { type: 'object', properties: { to: { type: 'string' } } }))
  return ran('bulk')
})

await worker.run()
