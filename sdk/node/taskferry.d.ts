/** A JSON Schema, as an object. */
export type Schema = Record<string, unknown>
export type Level = 'debug' | 'info' | 'notice' | 'warning' | 'error' | 'critical' | 'alert' | 'emergency'
/** A number of seconds, or text such as "500ms", "15s", "10m". */
export type Duration = number | string

/** The tool did its work and it failed; the caller's model reads the text. It is not attempted again. */
export class ToolError extends Error {}
/** The attempt failed, and another one may succeed: `after` so many seconds, or else after the tool's backoff. */
export class Retry extends Error {
  constructor(message: string, options?: { after?: number })
}
/** The call itself was wrong: it ends with this JSON-RPC error. */
export class RpcError extends Error {
  constructor(code: number, message: string)
}
/** A question has no answer: the client cannot be asked this, or answered with an error. */
export class AskError extends ToolError {}
/** The attempt must stop: `reason` says why. Clean up, and let it pass. */
export class Stopped extends Error {
  readonly reason: string
}
/** This worker cannot work with this Redis; the text says what to do. */
export class CannotWork extends Error {}
/** Settings that cannot be used; the text has a line for each. */
export class SettingsError extends Error {}

/** A whole CallToolResult, which goes to the client as it is. */
export class Result {
  constructor(fields: {
    content: object[]
    structuredContent?: Record<string, unknown>
    isError?: boolean
    _meta?: Record<string, unknown>
    [name: string]: unknown
  })
}
/** One entry of a result's `content`. */
export class Content {
  constructor(fields: { type: string; [name: string]: unknown })
}
export function text(said: string): Content
export function image(data: Uint8Array, mimeType?: string): Content
export function audio(data: Uint8Array, mimeType?: string): Content
/** Bytes of any kind: an embedded resource of MCP, which must have a URI. */
export function blob(uri: string, data: Uint8Array, mimeType?: string): Content

/** A question to the client; each function below makes one. */
export interface Question {
  method: string
  params: Record<string, unknown>
}
/** Asks the person for values that fit a flat JSON Schema; the answer has `action` (accept, decline, cancel) and `content`. */
export function elicitation(message: string, requestedSchema: Schema): Question
/** Asks the person to open a web page. */
export function openPage(message: string, url: string): Question
/** Asks the client's model; `messages` and `maxTokens` are required. */
export function sampling(params: Record<string, unknown>): Question
export function roots(): Question

/** One attempt of one job. */
export interface Context {
  /** The same in every attempt. */
  readonly taskId: string
  /** The key under which to do things once: the task's id, also if an operator has the job run again as a new task. */
  readonly origin: string
  /** From 1. */
  readonly attempt: number
  readonly retries: number
  readonly tool: string
  readonly queue: string
  /** Who called; empty if callers are not told apart. */
  readonly owner: string
  /** The arguments as the caller sent them, JSON. */
  readonly rawArguments: string
  readonly capabilities: Record<string, unknown>
  readonly traceparent?: string
  readonly tracestate?: string
  readonly baggage?: string
  /** The caller's trace context as headers of HTTP. */
  readonly trace: Record<string, string>
  /** When this attempt times out. While it waits for an answer, its time stands still. */
  readonly deadline: Date
  /** Until then, seconds. */
  readonly timeLeft: number
  /** Aborted when the attempt must stop; its reason is a `Stopped`. */
  readonly signal: AbortSignal
  /** Why the attempt must stop, if it must. */
  readonly stopping?: string
  /** Throws `Stopped` if the attempt must stop; all that follows does, too. */
  check(): void
  /** Shows the client how far the work is. Call it as often as you like: the newest goes out, 20 times a second. */
  progress(progress: number, total?: number, message?: string): void
  /** The status message of the task. */
  message(said: string): void
  /** A line for the client, if it wants lines of this level, and for the worker's log. */
  log(level: Level, said: string): void
  /** Puts a question to the client, and waits for its answer. The key stands for this question for the job's whole life. After
   * a while the attempt ends here with `Stopped`; once the answer is there, the tool runs again from its start, and has it. */
  ask(key: string, question: Question): Promise<any>
  /** Puts several questions together, and waits for all answers. */
  askAll<Key extends string>(questions: Record<Key, Question>): Promise<Record<Key, any>>
}

export type Returned = string | Record<string, unknown> | object | Content | Content[] | Result | null | undefined | void
export type Handler<Arguments> = (args: Arguments, job: Context) => Returned | Promise<Returned>

/** What a tool is, beside its name. Times are seconds. */
export interface Definition {
  inputSchema: Schema
  outputSchema?: Schema
  title?: string
  description?: string
  queue?: string
  timeout?: number
  attempts?: number
  crashLimit?: number
  backoff?: [initial: number, max: number]
  concurrency?: number
  /** How many attempts of its jobs begin in any window of so long, on all workers together: '5/1m'. */
  rate?: string
  /** Whether a call that finds the rate used up waits, or is refused. */
  rateExcess?: 'wait' | 'refuse'
  taskSupport?: 'optional' | 'required' | 'forbidden'
  ttl?: { default: number; min: number; max: number }
  keepMs?: number
  pollIntervalMs?: number
  pollIntervalMaxMs?: number
  rank?: number
  scopes?: string[]
  taskScopes?: string[]
  askFirst?: { key: string; method: string; params: object }[]
  requiredCapabilities?: Record<string, unknown>
  shareIdentical?: boolean
  immediateResponse?: string
  annotations?: Record<string, unknown>
  icons?: object[]
  /** How long it may take to stop when it must. */
  stopGrace?: number
}

/** What is not given is taken from the environment (`TASKFERRY_SLOTS` and so on), or is the default. */
export interface Settings {
  redisUrl?: string
  redisUsername?: string
  redisPassword?: string
  redisPasswordFile?: string
  redisCaFile?: string
  redisCertFile?: string
  redisKeyFile?: string
  redisPrefix?: string
  redisShards?: number
  redisTimeout?: Duration
  slots?: number
  /** What of the slots the jobs of each queue may have: a weight, and how many at most. Not in the environment. */
  queues?: Record<string, number | { weight?: number; slots?: number }>
  lease?: Duration
  drainTimeout?: Duration
  maxJobs?: number
  idleExit?: Duration
  once?: boolean
  maxResult?: number | string
  parkAfter?: Duration
  role?: 'worker' | 'foreign-worker'
  scripts?: string
  log?: 'debug' | 'info' | 'warn' | 'error' | 'off'
}

export class Worker {
  constructor(settings?: Settings)
  readonly id: string
  /** Makes a function a tool. */
  tool<Arguments = any>(name: string, definition: Definition, handler: Handler<Arguments>): this
  /** Works until it is told to stop, or has nothing left to do, and ends the process. */
  run(): Promise<never>
  /** The same in a program that is more than a worker; `stop` ends it. */
  serve(options?: { signals?: boolean }): Promise<void>
  /** Begins the drain. */
  stop(): void
}
export const VERSION: string
