// The TypeScript SDK's client of the modern era (v2) with the tasks extension's own client on top: plain call, task,
// tool error, cancel. The endpoint is the argument.
import assert from "node:assert/strict";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { createTaskSessionFromClient, resultFromTaskOutcome } from "@modelcontextprotocol/ext-tasks/client";

const endpoint = process.argv[2];
const protocolVersion = "2026-07-28";
const clientInfo = { name: "ext-tasks", version: "1" };
const clientCapabilities = { extensions: { "io.modelcontextprotocol/tasks": {} } };

const options = { capabilities: clientCapabilities, versionNegotiation: { mode: { pin: protocolVersion } } };
const client = new Client(clientInfo, options);
await client.connect(new StreamableHTTPClientTransport(new URL(endpoint)));
assert.equal(client.getProtocolEra(), "modern");

const { tools } = await client.listTools();
assert.ok(tools.some((tool) => tool.name === "generate_report"));
const plain = await client.callTool({ name: "never_task", arguments: {} });
assert.equal(plain.content[0].text, "done");

// The SDK's wire codecs do not know the extension's shapes, so its client is given the wire itself.
let id = 1000;
async function rawDispatch(request, { signal } = {}) {
  const name = request.params.name ?? request.params.taskId;
  const response = await fetch(endpoint, {
    method: "POST",
    signal,
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": protocolVersion,
      "Mcp-Method": request.method,
      ...(name === undefined ? {} : { "Mcp-Name": name }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: (id += 1), ...request }),
  });
  const message = await response.json();
  return "error" in message ? { kind: "error", error: message.error } : { kind: "result", result: message.result };
}

const session = createTaskSessionFromClient(client, {
  endpointId: "taskferry",
  rawDispatch,
  v2RequestFraming: { protocolVersion, clientInfo, clientCapabilities },
});

const execution = await session.callTool("generate_report", { month: "January" });
assert.equal(execution.kind, "task");
const { outcome } = await execution.settle();
const report = resultFromTaskOutcome(outcome);
assert.equal(report.isError, false);
assert.match(report.content[0].text, /January/);

const failing = await session.callTool("fail", {});
const failed = await failing.settle();
assert.equal(failed.outcome.status, "completed");
assert.equal(failed.outcome.result.isError, true);

const napping = await session.callTool("nap", { seconds: 60, folder: process.argv[3] });
assert.equal(napping.kind, "task");
await napping.cancel();
const napped = await napping.settle();
assert.equal(napped.outcome.status, "cancelled");

await session.close();
await client.close();
console.log("ok");
