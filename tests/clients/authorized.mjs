// Both TypeScript SDKs find the issuer from what the front end refuses them with, and get a token of their own; the one of
// the modern era (v2) also learns from it which scopes to ask for, and gets another token when a tool needs more of them. The
// arguments are the endpoint and the issuer.
import assert from "node:assert/strict";

import * as modern from "@modelcontextprotocol/client";
import { createTaskSessionFromClient, resultFromTaskOutcome } from "@modelcontextprotocol/ext-tasks/client";
import { ClientCredentialsProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";

const [endpoint, expectedIssuer] = process.argv.slice(2);
const secrets = { clientId: "nightly", clientSecret: "nightly-secret", expectedIssuer };
const clientInfo = { name: "typescript-sdk", version: "1" };

function granted(provider) {
  const [, claims] = provider.tokens().access_token.split(".");
  return JSON.parse(Buffer.from(claims, "base64url")).scope;
}

async function legacyTask() {
  const all = "tasks:call tasks:read reports";
  // This SDK asks for the scopes that it is told of by its program, and for no others.
  const authProvider = new ClientCredentialsProvider({ ...secrets, scope: all });
  const client = new Client(clientInfo);
  await client.connect(new StreamableHTTPClientTransport(new URL(endpoint), { authProvider }));
  assert.equal(granted(authProvider), all);
  await client.listTools();
  const params = { name: "priced", arguments: {} };
  const stream = client.experimental.tasks.callToolStream(params, CallToolResultSchema, { task: { ttl: 60000 } });
  const messages = [];
  for await (const message of stream) messages.push(message);
  assert.equal(messages[0].type, "taskCreated", JSON.stringify(messages));
  assert.equal(messages.at(-1).result.content[0].text, "42");
  await client.close();
}

async function modernTask() {
  const authProvider = new modern.ClientCredentialsProvider(secrets);
  const protocolVersion = "2026-07-28";
  const clientCapabilities = { extensions: { "io.modelcontextprotocol/tasks": {} } };
  const options = { capabilities: clientCapabilities, versionNegotiation: { mode: { pin: protocolVersion } } };
  const client = new modern.Client(clientInfo, options);
  await client.connect(new modern.StreamableHTTPClientTransport(new URL(endpoint), { authProvider }));
  assert.equal(client.getProtocolEra(), "modern");
  assert.equal(granted(authProvider), "tasks:call tasks:read");
  const plain = await client.callTool({ name: "priced_at_once", arguments: {} });
  assert.equal(plain.content[0].text, "43");
  assert.match(granted(authProvider), /reports/);

  // The SDK's wire codecs do not know the extension's shapes, so its client is given the wire itself, with the token.
  const fetchWithToken = modern.withOAuth(authProvider, endpoint)(fetch);
  let id = 1000;
  async function rawDispatch(request, { signal } = {}) {
    const name = request.params.name ?? request.params.taskId;
    const headers = {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": protocolVersion,
      "Mcp-Method": request.method,
      ...(name === undefined ? {} : { "Mcp-Name": name }),
    };
    const body = JSON.stringify({ jsonrpc: "2.0", id: (id += 1), ...request });
    const response = await fetchWithToken(endpoint, { method: "POST", signal, headers, body });
    const message = await response.json();
    return "error" in message ? { kind: "error", error: message.error } : { kind: "result", result: message.result };
  }
  const v2RequestFraming = { protocolVersion, clientInfo, clientCapabilities };
  const session = createTaskSessionFromClient(client, { endpointId: "taskferry", rawDispatch, v2RequestFraming });
  const execution = await session.callTool("priced", {});
  assert.equal(execution.kind, "task");
  const { outcome } = await execution.settle();
  assert.equal(resultFromTaskOutcome(outcome).content[0].text, "42");
  await session.close();
  await client.close();
}

await Promise.all([legacyTask(), modernTask()]);
console.log("ok");
