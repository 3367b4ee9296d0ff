//! Opens a connection, and keeps the server's own words if it refuses. The client library would report a wrong password,
//! whatever the server said.

use std::io;

use futures_util::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    RedisConnectionInfo, RedisError, Value,
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
    let mut steps = steps(info.redis_settings());
    steps.push((TIME, redis::cmd(TIME)));
    connect_by(info, config, steps).await
}

/// As [`connect`], and does not ask whether the server answers: a sentinel knows no TIME, and whoever asks for something else sees
/// that by itself.
///
/// # Errors
///
/// As [`connect`].
pub(super) async fn log_in(
    info: &ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, Error> {
    connect_by(info, config, steps(info.redis_settings())).await
}

async fn connect_by(
    info: &ConnectionInfo,
    config: &AsyncConnectionConfig,
    steps: Vec<(&'static str, Cmd)>,
) -> Result<MultiplexedConnection, Error> {
    let settings = info.redis_settings();
    let plain = RedisConnectionInfo::default().set_protocol(settings.protocol());
    let plain = info
        .clone()
        .set_redis_settings(plain.set_skip_set_lib_name());
    // Its type is deep, and would be part of that of every call: handlers of workers would not compile.
    let opened = async {
        Client::open(plain)?
            .get_multiplexed_async_connection_with_config(config)
            .await
    }
    .boxed();
    let opened = soon(opened).await;
    let mut connection = opened.map_err(|source| unreachable(info, silent(info, source)))?;
    let mut is_first = true;
    for (step, command) in steps {
        match soon(command.query_async::<Value>(&mut connection)).await {
            Ok(_accepted) => {}
            // Whether this user may ask is not what is asked here; only that the server speaks with it.
            Err(source) if step == TIME && has_code(&source, &["NOPERM"]) => {}
            Err(source) if is_answer(&source) => {
                return Err(Error::Refused {
                    step,
                    closed: is_closed(&mut connection).await,
                    url_from: String::new(),
                    source,
                });
            }
            Err(source) if is_first => return Err(unreachable(info, hung_up(info, source))),
            Err(source) => return Err(unreachable(info, source)),
        }
        is_first = false;
    }
    Ok(connection)
}

/// What a server that ended the connection at the first command may be, if it is not one that fails just now.
fn hung_up(info: &ConnectionInfo, source: RedisError) -> RedisError {
    let is_plain = matches!(info.addr(), ConnectionAddr::Tcp(..));
    if !is_plain || source.kind() != ErrorKind::Io || source.is_timeout() {
        return source;
    }
    let text = "the server hung up at the first command, as a port with TLS does (for TLS, redis_url begins with rediss)";
    io::Error::new(io::ErrorKind::ConnectionReset, text).into()
}

/// A server without TLS takes the beginning of a handshake for the beginning of a command, and waits for its end.
fn silent(info: &ConnectionInfo, source: RedisError) -> RedisError {
    let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if !is_tls || !source.is_timeout() {
        return source;
    }
    let text = format!(
        "no TLS handshake within {CONNECT:?}, as with a port without TLS (for that, redis_url begins with redis)"
    );
    io::Error::new(io::ErrorKind::TimedOut, text).into()
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

/// What is sent last on each new connection: its answer says that the server speaks with this user. Every role has the right to it ([`Role`](crate::model::role::Role)).
const TIME: &str = "TIME";

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
    steps
}

/// Whether the server closed the connection with its refusal, as a server with too many clients does. Then the refusal is
/// not about the user.
async fn is_closed(connection: &mut MultiplexedConnection) -> bool {
    let reply = redis::cmd(TIME).query_async::<Value>(connection).await;
    reply.is_err_and(|error| error.kind() == ErrorKind::Io)
}

/// Whether an error is a server's answer, rather than a broken wire.
pub(super) fn is_answer(source: &RedisError) -> bool {
    source.clone().into_server_errors().is_some()
        || source.kind() == ErrorKind::AuthenticationFailed
}
