//! Making one connection to PostgreSQL on the shard's own reactor: the socket,
//! TLS, the login, and what the session is told at its start.
//!
//! A connection's driver is a task of the shard; it drops notices, hands
//! notifications to who asked for them, and ends with the connection.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, DirectConnection};
use super::fault::describe;
use super::line::{Line, LineStream};
use super::tls;
use super::url::{PostgresUrl, TlsMode};
use crate::engine::{self, ClientStream, Target};
use crate::limits::POSTGRES_CANCEL_TIMEOUT_MS;
use crate::postgres::{ConnectError, PostgresOptions};

/// How to reach the server; made once, shared by all shards.
#[derive(Clone)]
pub struct Dialer {
    target: Target,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    mode: TlsMode,
    connect_timeout: Duration,
}

impl Dialer {
    /// `settings` are given to every session with its login, such as
    /// `("synchronous_commit", "off")`.
    ///
    /// # Errors
    /// [`ConnectError::Tls`] when certificates cannot be read.
    pub fn new(
        url: &PostgresUrl,
        options: &PostgresOptions,
        settings: &[(&str, &str)],
    ) -> Result<Self, ConnectError> {
        let tls = tls::connector(url)?;
        let mut config = Config::new();
        if let Some(user) = &url.user {
            config.user(user);
        }
        if let Some(password) = &url.password {
            config.password(password.reveal());
        }
        if let Some(database) = &url.database {
            config.dbname(database);
        }
        let name = url.application_name.as_deref().unwrap_or("corelane");
        config
            .application_name(name)
            .options(session(options, settings));
        let mode = url.effective_tls();
        config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let timeout_ms = url.connect_timeout_ms;
        let timeout_ms = timeout_ms.unwrap_or(options.connect_timeout_ms);
        Ok(Self {
            target: url.target.clone(),
            config,
            tls,
            mode,
            connect_timeout: Duration::from_millis(timeout_ms),
        })
    }

    /// Where it connects to; no secret in it.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Makes a connection. It may be dropped meanwhile.
    ///
    /// # Errors
    /// Why there is none, at the latest after the connect timeout.
    pub async fn dial(&self) -> Result<DirectConnection, DialError> {
        self.dial_and_hear(|_| {}).await
    }

    /// The same; `hear` is given what the server notifies.
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    pub async fn dial_and_hear(
        &self,
        hear: impl FnMut(Notification) + 'static,
    ) -> Result<DirectConnection, DialError> {
        let attempt = async {
            match self.attempt(&self.config).await {
                // As libpq: a server that fails at TLS may do without.
                Err(error) if self.mode == TlsMode::Prefer && error.may_be_tls() => {
                    let mut plain = self.config.clone();
                    plain.ssl_mode(SslMode::Disable);
                    self.attempt(&plain).await
                }
                outcome => outcome,
            }
        };
        let attempted = engine::timeout(self.connect_timeout, attempt).await;
        let (client, driver, line) = attempted.map_err(|_| DialError::Timeout)??;
        engine::spawn_local(drive(driver, line.clone(), hear));
        Ok(DirectConnection {
            connection: Connection::new(client),
            line,
        })
    }

    async fn attempt(&self, config: &Config) -> Result<(Client, Driver, Rc<Line>), DialError> {
        let stream = ClientStream::connect(&self.target)
            .await
            .map_err(DialError::Io)?;
        let line = Rc::new(Line::new(stream));
        let stream = LineStream::of(&line);
        let failed = DialError::Postgres;
        let (client, driver) = match &self.tls {
            Some(tls) if config.get_ssl_mode() != SslMode::Disable => {
                let tls = self.handshake(tls)?;
                let (client, driver) = config.connect_raw(stream, tls).await.map_err(failed)?;
                (client, Box::new(driver) as Driver)
            }
            _ => {
                let (client, driver) = config.connect_raw(stream, NoTls).await.map_err(failed)?;
                (client, Box::new(driver) as Driver)
            }
        };
        Ok((client, driver, line))
    }

    fn handshake(
        &self,
        tls: &MakeRustlsConnect,
    ) -> Result<impl TlsConnect<LineStream, Stream: Send + Unpin + 'static> + use<>, DialError>
    {
        let host = match &self.target {
            Target::Tcp { host, .. } => host.as_str(),
            Target::Unix(_) => "",
        };
        let made = MakeTlsConnect::<LineStream>::make_tls_connect(&mut tls.clone(), host);
        made.map_err(|error| DialError::Io(io::Error::other(error)))
    }

    /// Asks the server to give up what a connection is doing, over a fresh
    /// one. Nothing tells whether it did.
    pub(in crate::postgres) async fn cancel(&self, token: CancelToken) {
        let asking = async {
            let Ok(stream) = ClientStream::connect(&self.target).await else {
                return;
            };
            let line = Rc::new(Line::new(stream));
            let stream = LineStream::of(&line);
            let _ = match self.tls.as_ref().map(|tls| self.handshake(tls)) {
                Some(Ok(tls)) => token.cancel_query_raw(stream, tls).await,
                Some(Err(_)) => Ok(()),
                None => token.cancel_query_raw(stream, NoTls).await,
            };
            // The server closes it when it has passed the word on: from then
            // on the cancel hits nothing that is asked later.
            line.see_off().await;
        };
        let _ = engine::timeout(Duration::from_millis(POSTGRES_CANCEL_TIMEOUT_MS), asking).await;
    }
}

/// What the server is told with the login, so that it costs no round trip.
fn session(options: &PostgresOptions, settings: &[(&str, &str)]) -> String {
    let mut text = format!(
        "-c statement_timeout={} -c idle_in_transaction_session_timeout={}",
        options.statement_timeout_ms, options.idle_in_transaction_timeout_ms,
    );
    for (name, value) in settings {
        // The server takes it apart at blanks.
        let value = value.replace('\\', r"\\").replace(' ', r"\ ");
        text.push_str(&format!(" -c {name}={value}"));
    }
    text
}

/// The library's connection, whatever its stream is.
type Driver = Box<dyn Messages>;

trait Messages {
    fn poll_next_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>>;
}

impl<S, T> Messages for tokio_postgres::Connection<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_next_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> {
        self.poll_message(cx)
    }
}

/// Runs until the connection has ended, by goodbye, failure or cut.
async fn drive(mut driver: Driver, line: Rc<Line>, mut hear: impl FnMut(Notification) + 'static) {
    let driving = poll_fn(|cx| {
        loop {
            match ready!(driver.poll_next_message(cx)) {
                Some(Ok(AsyncMessage::Notification(notification))) => hear(notification),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(describe(&error))),
                None => return Poll::Ready(None),
            }
        }
    });
    let reason = line.watched(driving).await;
    drop(driver);
    line.ended(reason.unwrap_or_else(|| Some("it did not answer".to_owned())));
    line.see_off().await;
    line.closed();
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The socket could not be connected.
    Io(io::Error),
    /// TLS, the login or the server said no.
    Postgres(tokio_postgres::Error),
    /// The server did not answer in time.
    Timeout,
}

impl DialError {
    fn may_be_tls(&self) -> bool {
        match self {
            Self::Postgres(error) => error.as_db_error().is_none_or(|db| {
                // "no pg_hba.conf entry for ..., SSL encryption".
                *db.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            }),
            _ => false,
        }
    }

    /// As a reason not to start, with its cure.
    pub fn into_connect_error(self, target: &Target) -> ConnectError {
        let place = target.to_string();
        let code = match &self {
            Self::Postgres(error) => error.code().cloned(),
            _ => None,
        };
        let why = self.to_string();
        if why.starts_with("error performing TLS handshake") {
            return ConnectError::Tls(format!("{place}: {why}"));
        }
        // What the library calls a missing password.
        if why.starts_with("invalid configuration") {
            return ConnectError::Login { place, why };
        }
        match code {
            Some(SqlState::TOO_MANY_CONNECTIONS) => ConnectError::ServerFull { place, why },
            Some(
                SqlState::INVALID_PASSWORD
                | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                | SqlState::INVALID_CATALOG_NAME
                | SqlState::INSUFFICIENT_PRIVILEGE,
            ) => ConnectError::Login { place, why },
            _ => ConnectError::Unreachable { place, why },
        }
    }
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Postgres(error) => f.write_str(&describe(error)),
            Self::Timeout => f.write_str("the server did not answer in time"),
        }
    }
}
