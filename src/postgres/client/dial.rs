//! Making one connection to PostgreSQL on the shard's own reactor: which of its
//! servers, the socket, TLS, the login, and what the session is given then.
//!
//! A connection's driver is a task of the shard; it drops notices, hands
//! notifications to who asked for them, and ends with the connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::{self, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, DirectConnection};
use super::dial_error::DialError;
use super::fault::describe;
use super::line::{Line, LineStream};
use super::role::SessionRole;
use super::session::{SessionSettings, keeps_its_process};
use super::tls;
use super::url::{ChannelBinding, PostgresUrl, SessionAttrs, TlsMode};
use crate::engine::{self, ClientStream, Target};
use crate::limits::POSTGRES_CANCEL_TIMEOUT_MS;
use crate::postgres::{ConnectError, PostgresOptions};

/// How to reach the server; made once, shared by all shards.
#[derive(Clone)]
pub struct Dialer {
    targets: Arc<[Target]>,
    /// Of these the one that was fit last, which all shards try first.
    preferred: Arc<AtomicUsize>,
    attrs: SessionAttrs,
    place: String,
    settings: SessionSettings,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    mode: TlsMode,
    connect_timeout: Duration,
}

impl Dialer {
    /// `settings` are given to every session, such as
    /// `("synchronous_commit", "off")`, and read back from it.
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
        config.application_name(name);
        config.channel_binding(match url.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
        let mode = url.effective_tls();
        config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let timeout_ms = url.connect_timeout_ms;
        let timeout_ms = timeout_ms.unwrap_or(options.connect_timeout_ms);
        Ok(Self {
            targets: url.targets.clone().into(),
            preferred: Arc::default(),
            attrs: url.session_attrs,
            place: url.place(),
            settings: session_settings(options, settings),
            config,
            tls,
            mode,
            connect_timeout: Duration::from_millis(timeout_ms),
        })
    }

    /// Where it connects to, all servers of the address; no secret in it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Makes a connection. It may be dropped meanwhile.
    ///
    /// # Errors
    /// Why there is none, at the latest after the connect timeout, which counts
    /// for each server of the address.
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
        let hear: Hear = Rc::new(RefCell::new(hear));
        let sought = match self.attrs {
            SessionAttrs::PreferStandby => &[SessionAttrs::PreferStandby, SessionAttrs::Any][..],
            _ => std::slice::from_ref(&self.attrs),
        };
        let mut failures = Vec::new();
        for attrs in sought {
            failures.clear();
            let first = self.preferred.load(Ordering::Relaxed);
            for index in (0..self.targets.len()).map(|next| (first + next) % self.targets.len()) {
                let target = &self.targets[index];
                let dialing = self.dial_one(target, *attrs, hear.clone());
                let dialed = engine::timeout(self.connect_timeout, dialing).await;
                match dialed.unwrap_or(Err(DialError::Timeout)) {
                    Ok(connection) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(connection);
                    }
                    // As libpq: the others would not let us in either.
                    Err(error) if error.is_login() => return Err(error),
                    Err(error) => failures.push((target.clone(), error)),
                }
            }
        }
        Err(DialError::of_all(failures))
    }

    /// The server that is preferred turned out to be the wrong one: the next
    /// connection is sought from the one after it.
    pub(in crate::postgres) fn pass_over(&self, target: &Target) {
        let index = self.targets.iter().position(|other| other == target);
        let Some(index) = index else { return };
        let next = (index + 1) % self.targets.len();
        // Unless another shard has passed it over before.
        let passed = Ordering::Relaxed;
        let _ = self.preferred.compare_exchange(index, next, passed, passed);
    }

    /// Whether a connection stays with one process of the server from one
    /// transaction to the next, as everything here wants; checked with a second
    /// connection. Where none can be made it is taken for granted.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn keeps_sessions(&self, connection: &DirectConnection) -> Result<bool, DialError> {
        match self.dial().await {
            Ok(other) => keeps_its_process(connection, &other).await,
            Err(_) => Ok(true),
        }
    }

    async fn dial_one(
        &self,
        target: &Target,
        attrs: SessionAttrs,
        hear: Hear,
    ) -> Result<DirectConnection, DialError> {
        let attempted = match self.attempt(target, &self.config).await {
            // As libpq: a server that fails at TLS may do without.
            Err(error) if self.mode == TlsMode::Prefer && error.may_be_tls() => {
                let mut plain = self.config.clone();
                plain.ssl_mode(SslMode::Disable);
                self.attempt(target, &plain).await
            }
            outcome => outcome,
        };
        let (client, driver, line) = attempted?;
        engine::spawn_local(drive(driver, line.clone(), hear));
        let mut connection = DirectConnection {
            connection: Connection::new(client),
            line,
            target: target.clone(),
            role: SessionRole::UNKNOWN,
        };
        // A connection that is dropped here says goodbye.
        connection.role = self.settings.give(&connection).await?;
        connection.role.check(attrs)?;
        Ok(connection)
    }

    async fn attempt(
        &self,
        target: &Target,
        config: &Config,
    ) -> Result<(Client, Driver, Rc<Line>), DialError> {
        let stream = ClientStream::connect(target).await.map_err(DialError::Io)?;
        let line = Rc::new(Line::new(stream));
        let stream = LineStream::of(&line);
        let failed = DialError::Postgres;
        let (client, driver) = match &self.tls {
            Some(tls) if config.get_ssl_mode() != SslMode::Disable && is_tcp(target) => {
                let tls = handshake(tls, target)?;
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

    /// Asks the server to give up what a connection is doing, over a fresh
    /// one. Nothing tells whether it did.
    pub(in crate::postgres) async fn cancel(&self, target: &Target, token: CancelToken) {
        let asking = async {
            let Ok(stream) = ClientStream::connect(target).await else {
                return;
            };
            let line = Rc::new(Line::new(stream));
            let stream = LineStream::of(&line);
            let tls = self.tls.as_ref().filter(|_| is_tcp(target));
            let _ = match tls.map(|tls| handshake(tls, target)) {
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

/// Whom notifications are given to.
type Hear = Rc<RefCell<dyn FnMut(Notification)>>;

fn session_settings(options: &PostgresOptions, settings: &[(&str, &str)]) -> SessionSettings {
    let own = [
        ("statement_timeout", options.statement_timeout_ms),
        (
            "idle_in_transaction_session_timeout",
            options.idle_in_transaction_timeout_ms,
        ),
    ];
    let own = own.map(|(name, value_ms)| (name, value_ms.to_string()));
    let others = settings
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    SessionSettings::new(own.into_iter().chain(others))
}

/// A Unix socket has no TLS.
fn is_tcp(target: &Target) -> bool {
    matches!(target, Target::Tcp { .. })
}

fn handshake(
    tls: &MakeRustlsConnect,
    target: &Target,
) -> Result<impl TlsConnect<LineStream, Stream: Send + Unpin + 'static> + use<>, DialError> {
    let host = match target {
        Target::Tcp { host, .. } => host.as_str(),
        Target::Unix(_) => "",
    };
    let made = MakeTlsConnect::<LineStream>::make_tls_connect(&mut tls.clone(), host);
    made.map_err(|error| DialError::Io(io::Error::other(error)))
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
async fn drive(mut driver: Driver, line: Rc<Line>, hear: Hear) {
    let driving = poll_fn(|cx| {
        loop {
            match ready!(driver.poll_next_message(cx)) {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    (hear.borrow_mut())(notification);
                }
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
