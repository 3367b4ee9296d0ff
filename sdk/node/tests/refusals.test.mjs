// What a worker in Node refuses at its start.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { BINARY, Fleet, Process } from './rig.mjs'

const TOOLS = fileURLToPath(new URL('tools.mjs', import.meta.url))

test('what makes a worker end says what to do, and nothing is taken', async t => {
  const fleet = await Fleet.start()
  t.after(() => fleet.close())
  const refused = async (code, settings) => {
    const worker = new Process(fleet, TOOLS, settings)
    assert.equal(await worker.wait(), code, worker.log())
    return worker.log()
  }
  const user = async (...rules) => {
    await fleet.redis('ACL', 'SETUSER', 'limited', 'reset', 'on', '>pw', ...rules)
    return { redis_url: fleet.url.replace('redis://', 'redis://limited:pw@') }
  }
  const settings = await refused(2, { slots: 'many', lease: '1h', role: 'king' })
  for (const part of ['slots: must be a whole number', 'lease: must be from 1 to 600', 'role: ']) assert.ok(settings.includes(part), settings)
  assert.match(await refused(1, await user('~*', '&*', '+@all', '-fcall')), /contract print --eval/)
  assert.match(await refused(1, await user('~tf:contract', '&*', '+@all')), /taskferry doctor --role worker/)
  assert.match(await refused(1, { redis_url: fleet.url.replace('redis://', 'redis://nobody:pw@') }), /WRONGPASS.*: give the right user and password, in TASKFERRY_REDIS_PASSWORD_FILE/)
  await fleet.redis('ACL', 'SETUSER', 'default', 'resetpass', '>pw')
  assert.match(await refused(1), /NOAUTH.*: give a password, in TASKFERRY_REDIS_PASSWORD_FILE.*redis:\/\/user:password@/)
  await fleet.redis('ACL', 'SETUSER', 'default', 'nopass')
  const version = await fleet.redis('GET', 'tf:contract')
  await fleet.redis('SET', 'tf:contract', '9.1')
  assert.match(await refused(1), /uses contract 9.1/)
  await fleet.redis('SET', 'tf:contract', version)
  await fleet.redis('FUNCTION', 'FLUSH')
  assert.match(await refused(1), /run `taskferry contract install`/)
  await fleet.redis('FUNCTION', 'LOAD', "#!lua name=taskferry_4\nredis.register_function('tf4_version', function() return {'OK', '4.0'} end)")
  assert.match(await refused(1), /there is taskferry_4/)
  await fleet.redis('FUNCTION', 'LOAD', "#!lua name=taskferry_3\nredis.register_function('tf3_version', function() return {'NEW'} end)")
  assert.match(await refused(1), /this worker needs 3.x/)
  execFileSync(BINARY, ['contract', 'install', '--force', '--redis-url', fleet.url])
})
