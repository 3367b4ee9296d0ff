// The tools of a chaos run in Node: what `chaos-worker` (worker.rs) does, so that both can serve one queue.

import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

// Runs as a copy in the folder of its run: the package comes from the tree.
const { elicitation, Retry, RpcError, ToolError, Worker } = await import(process.env.TASKFERRY_PACKAGE)

/** Between two progress messages, ms. */
const STEP = 60

const shared = {
  inputSchema: { type: 'object', required: ['label'], properties: { label: { type: 'string' } } },
  backoff: [0.1, 0.5],
  ttl: { default: 600, min: 1, max: 86_400 },
  pollIntervalMs: 100
}

const worker = new Worker()

/** Adds a line to what every attempt did; one write, so that lines of several processes do not mix. */
const note = (job, event, label) => {
  const line = { event, task: job.taskId, attempt: job.attempt, label, worker: `pid ${process.pid}` }
  appendFileSync('attempts.jsonl', `${JSON.stringify(line)}\n`)
}

const work = async ({ label, work_ms = 0, crash_below = 0, retry_below = 0, ask = false, fail }, job) => {
  note(job, 'start', label)
  if (ask) await job.ask('go', elicitation('Go on?', { type: 'object', properties: {} }))
  const steps = Math.floor(work_ms / 60) + 1
  for (let step = 0; step < steps; step += 1) {
    if (job.attempt < crash_below && step >= Math.floor(steps / 2)) {
      note(job, 'crash', label)
      process.abort()
    }
    job.message(`attempt ${job.attempt} step ${step}`)
    await sleep(STEP, undefined, { signal: job.signal })
  }
  if (job.attempt < retry_below) {
    note(job, 'retry', label)
    throw new Retry(`attempt ${job.attempt} wants another`)
  }
  note(job, 'end', label)
  const outcome = { task: job.taskId, attempt: job.attempt, label }
  if (fail === 'tool') throw new ToolError(JSON.stringify(outcome))
  if (fail) throw new RpcError(-32050, JSON.stringify(outcome))
  return outcome
}

const tool = (name, crashLimit, options = {}) =>
  worker.tool(name, { ...shared, crashLimit, attempts: 20, ...options }, work)

tool('work', 100)
tool('crasher', 3)
tool('once', 1, { attempts: 1 })
// As `plan::NARROW` has it.
tool('narrow', 100, { concurrency: 2 })

await worker.run()
