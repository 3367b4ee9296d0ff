//! Opens a connection, and keeps the server's own words if it refuses. The client library would report a wrong password,
//! whatever the server said.

use std::io;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, RedisConnectionInfo, RedisError,
    Value,
};

use super::CONNECT;
use crate::error::{Error, has_code};

/// A connection that the server has accepted, with the credentials and the database of `info`.
///
/// # Errors
///
/// [`Error::Refused`] with the server's reason; [`Error::Unreachable`] if there is none, or it answers too late.
pub(super) async fn connect(
    info: &ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, Error> {
    let settings = info.redis_settings();
    let plain = RedisConnectionInfo::default().set_protocol(settings.protocol());
    let plain = info
        .clone()
        .set_redis_settings(plain.set_skip_set_lib_name());
    let opened = async {
        Client::open(plain)?
            .get_multiplexed_async_connection_with_config(config)
            .await
    };
    let opened = soon(opened).await;
    let mut connection = opened.map_err(|source| unreachable(info, source))?;
    for (step, command) in steps(settings) {
        match soon(command.query_async::<Value>(&mut connection)).await {
            Ok(_accepted) => {}
            // The right to ECHO is not needed; only that the server speaks with this user.
            Err(source) if step == ECHO && has_code(&source, &["NOPERM"]) => {}
            Err(source) if is_answer(&source) => {
                return Err(Error::Refused {
                    step,
                    closed: is_closed(&mut connection).await,
                    url_from: String::new(),
                    source,
                });
            }
            Err(source) => return Err(unreachable(info, source)),
        }
    }
    Ok(connection)
}

/// The error for a connection that could not be opened, with the server's address.
pub(super) fn unreachable(info: &ConnectionInfo, source: RedisError) -> Error {
    Error::Unreachable {
        address: info.addr().to_string(),
        url_from: String::new(),
        source,
    }
}

/// Runs a step of the handshake within the time limit.
async fn soon<T>(step: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    match tokio::time::timeout(CONNECT, step).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            let text = format!("no answer within {CONNECT:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
        }
    }
}

/// The commands that are sent first on each connection.
const ECHO: &str = "ECHO";

fn steps(settings: &RedisConnectionInfo) -> Vec<(&'static str, Cmd)> {
    let mut steps = Vec::new();
    if let Some(password) = settings.password() {
        let mut auth = redis::cmd("AUTH");
        if let Some(user) = settings.username() {
            auth.arg(user);
        }
        auth.arg(password);
        steps.push(("AUTH", auth));
    }
    if settings.db() != 0 {
        let mut select = redis::cmd("SELECT");
        select.arg(settings.db());
        steps.push(("SELECT", select));
    }
    steps.push((ECHO, echo()));
    steps
}

fn echo() -> Cmd {
    let mut echo = redis::cmd(ECHO);
    echo.arg("");
    echo
}

/// Whether the server closed the connection with its refusal, as a server with too many clients does. Then the refusal is
/// not about the user.
async fn is_closed(connection: &mut MultiplexedConnection) -> bool {
    let reply = echo().query_async::<Value>(connection).await;
    reply.is_err_and(|error| error.kind() == ErrorKind::Io)
}

/// Whether an error is a server's answer, rather than a broken wire.
pub(super) fn is_answer(source: &RedisError) -> bool {
    source.clone().into_server_errors().is_some()
        || source.kind() == ErrorKind::AuthenticationFailed
}
