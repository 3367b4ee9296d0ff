// What the documents show is a worker that works, as it stands there.

import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually, Fleet, Process, ROOT } from './rig.mjs'

const block = (page, heading) => {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const section = heading ? text.split(`\n## ${heading}\n`)[1].split('\n## ')[0] : text
  return section.split('```js\n')[1].split('```')[0]
}

test('the first worker of each page works', async t => {
  const fleet = await Fleet.start()
  // Beside the package, where its import finds it by name, as it does where it is installed.
  const script = join(ROOT, 'sdk/node', `.documented-${process.pid}.mjs`)
  let worker
  t.after(async () => {
    await worker?.close()
    rmSync(script)
    await fleet.close()
  })
  const start = async (page, heading, tool) => {
    await worker?.close()
    writeFileSync(script, block(page, heading))
    worker = await new Process(fleet, script).ready()
    await eventually('the tool is listed', () => fleet.tool(tool))
  }
  await start('sdk/node/README.md', '', 'greet')
  assert.equal((await fleet.result('greet', { name: 'Ada' })).content[0].text, 'Hello, Ada.')
  await start('docs/WORKERS.md', 'Workers in Node', 'word_count')
  assert.deepEqual((await fleet.result('word_count', { text: 'one two three' })).structuredContent, { words: 3 })
  const retried = await fleet.call('word_count', { text: 'x'.repeat(30) })
  await eventually('a retry', async () => (await fleet.record(retried)).retries === '1')
  assert.equal((await fleet.record(retried)).message, 'word 1 is too long for now')
  await fleet.cancel(retried)
  const task = await fleet.call('send_letter', { to: 'Bob' })
  await eventually('a question', async () => (await fleet.task(task)).status === 'input_required')
  await fleet.post('tasks/update', task, { taskId: task, inputResponses: { agreed: { action: 'accept', content: {} } } })
  assert.equal((await fleet.ended(task)).result.content[0].text, 'A letter is on its way to Bob.')
})
