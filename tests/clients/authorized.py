"""The Python SDK finds the issuer from what the front end refuses it with, gets a token, and another for more scopes.

The arguments are the endpoint and the issuer.
"""

import sys
from pathlib import Path

import anyio
from mcp.client import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "clients"))
from tasks import Tasks  # noqa: E402


class Memory:
    """Where the SDK keeps what it was given."""

    def __init__(self) -> None:
        self.tokens = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens) -> None:
        self.tokens = tokens

    async def get_client_info(self):
        return None

    async def set_client_info(self, info) -> None:
        raise AssertionError("it registers nothing")


async def main(endpoint: str, issuer: str) -> None:
    memory = Memory()
    provider = ClientCredentialsOAuthProvider(endpoint, memory, "nightly", "nightly-secret", issuer=issuer)
    polls: list[tuple[str, str, str | None]] = []
    tasks = Tasks(lambda *poll: polls.append(poll))
    async with create_mcp_http_client(auth=provider) as http:
        transport = streamable_http_client(endpoint, http_client=http)
        async with Client(transport, extensions=[tasks]) as client:
            assert client.protocol_version == "2026-07-28", client.protocol_version
            assert memory.tokens.scope == "tasks:call tasks:read", memory.tokens
            priced = await client.call_tool("priced", {})
            assert priced.content[0].text == "42", priced
            assert polls[-1][1] == "completed", polls
            assert "reports" in memory.tokens.scope, memory.tokens
    print("ok")


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
