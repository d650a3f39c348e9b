//! Sessions as handlers use them, and the guard around what they may change.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};

use super::rate_limit::RateLimitKey;
use crate::Error;
use crate::app::{App, AppError, Ctx, Find, Next, Response, ShardPart, ShardStates, StateType};
use crate::limits::SESSION_COOKIES_MAX;
use crate::metrics::SessionCounters;
use crate::redis::Redis;
use crate::session::{
    RequestOrigin, SessionCookie, SessionCookies, SessionId, SessionOptions, is_safe_method,
};
use crate::sessions::{BegunSession, Passwords, Session, SessionBackend, SessionStore, Sessions};

/// Whether a user is still there.
#[derive(Clone)]
struct UserCheck(Arc<UserCheckFn>);
type UserCheckFn =
    dyn Fn(&Ctx, i64) -> Pin<Box<dyn Future<Output = Result<bool, Error>>>> + Send + Sync;

/// What an app was told about sessions.
struct SessionPlan {
    options: SessionOptions,
    passwords: Passwords,
}

/// Finds the one of a shard's states that keeps sessions and knows who logs in.
struct BackendOf(Find<dyn SessionBackend>);

struct KeyPrefix(String);

/// What a shard has for the sessions of its requests.
pub(super) struct ShardSessions {
    sessions: Sessions,
    users: Option<UserCheck>,
    backend: Option<Rc<dyn SessionBackend>>,
}

impl ShardPart for ShardSessions {}

impl ShardSessions {
    /// `None` when the app has no sessions.
    pub(super) fn of(app: &App, states: &ShardStates) -> Option<Rc<Self>> {
        let SessionPlan { options, passwords } = app.settings.find()?;
        let prefix = app.settings.find().map(|KeyPrefix(prefix)| prefix.as_str());
        let prefix = prefix.unwrap_or("corelane");
        let backend = app.settings.find::<BackendOf>();
        Some(Rc::new(Self {
            sessions: Sessions::new(options.clone(), passwords.clone(), prefix),
            users: app.settings.find().cloned(),
            backend: backend.and_then(|BackendOf(find)| find(states)),
        }))
    }

    fn store(&self, redis: Option<Redis>) -> SessionStore {
        match redis {
            Some(redis) => SessionStore::in_redis(redis, self.sessions.key_prefix.clone()),
            None => SessionStore::Backend(self.backend()),
        }
    }

    fn backend(&self) -> Rc<dyn SessionBackend> {
        let backend = self.backend.clone();
        backend.expect("the app has no database of users; add App::session_backend")
    }
}

/// What an app with sessions must have.
fn check(app: &App) -> Result<(), AppError> {
    if app.settings.all::<SessionPlan>().count() > 1 {
        return Err(AppError::SessionsTwice);
    }
    let has_place = app.redis.is_some() || app.settings.find::<BackendOf>().is_some();
    match has_place {
        true => Ok(()),
        false => Err(AppError::SessionsNowhere),
    }
}

/// What a request's session was found to be; looked for once.
struct SessionLookup(Option<Session>);

impl App {
    /// Has sessions: handlers find a request's with [`Ctx::session`]. They are
    /// kept in the app's Redis, or without one in its database: see
    /// [`session_backend`](Self::session_backend).
    ///
    /// Whatever a request with a session's cookie may change is guarded against
    /// other sites' pages (CSRF): with a method other than GET, HEAD, OPTIONS
    /// and TRACE such a request is answered 403 unless it comes from a page of
    /// this server, from [`SessionOptions::allowed_origins`] or from no page.
    ///
    /// ```
    /// use corelane::session::SessionOptions;
    /// use corelane::redis::RedisOptions;
    /// use corelane::{App, Ctx, Error, Next, Response};
    /// use http::StatusCode;
    ///
    /// /// Stands before what only users may see.
    /// async fn users_only(mut ctx: Ctx, next: Next) -> Result<Response, Error> {
    ///     if ctx.session().await?.is_none() {
    ///         return Err(Error::new(StatusCode::UNAUTHORIZED, "log in first"));
    ///     }
    ///     next.run(ctx).await
    /// }
    ///
    /// async fn me(mut ctx: Ctx) -> Result<Response, Error> {
    ///     let session = ctx.session().await?.expect("`users_only` lets nobody else in");
    ///     Ok(Response::text(format!("you are user {}\n", session.user_id)))
    /// }
    ///
    /// let private = App::new().middleware(users_only).get("/me", me);
    /// let app = App::new()
    ///     .redis(RedisOptions::new("redis://127.0.0.1"))
    ///     .sessions(SessionOptions::default())
    ///     .nest("/private", private);
    /// # let server = corelane::Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned();
    /// # let server = server.start()?;
    /// # use std::io::{Read, Write};
    /// # let mut stream = std::net::TcpStream::connect(server.local_addr())?;
    /// # write!(stream, "GET /private/me HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
    /// # let mut answer = String::new();
    /// # stream.read_to_string(&mut answer)?;
    /// # assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    /// # server.drain();
    /// # server.wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sessions(mut self, options: SessionOptions) -> Self {
        if !options.enabled {
            return self;
        }
        if let Err(error) = options.check() {
            let reason = error.to_string();
            self.faults.push(AppError::Sessions { reason });
        }
        self.settings.set(SessionPlan {
            options,
            passwords: Passwords::default(),
        });
        self.checks.push(check);
        self.guard = Some(Arc::new(guard));
        self
    }

    /// Has the app's state of type `S` say who logs in, and keep the sessions
    /// where the app has no Redis. It must be state of the app.
    #[must_use]
    pub fn session_backend<S: SessionBackend + 'static>(mut self) -> Self {
        self.required_states.push(StateType::of::<S>());
        self.settings.set(BackendOf(|states| {
            states
                .find::<S>()
                .map(|state| state as Rc<dyn SessionBackend>)
        }));
        self
    }

    /// Asks `check` whether a user is still there, before a session out of
    /// Redis is believed; those in a backend go with their user.
    #[must_use]
    pub fn session_users<Fut>(
        mut self,
        check: impl Fn(&Ctx, i64) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<bool, Error>> + 'static,
    {
        let check: Arc<UserCheckFn> = Arc::new(move |ctx, id| Box::pin(check(ctx, id)));
        self.settings.set(UserCheck(check));
        self
    }

    /// What the keys of sessions in Redis start with; default `corelane`. Apps
    /// that share a Redis but not their users must each have another: a session
    /// says who somebody is by a number, which may be somebody else's there.
    #[must_use]
    pub fn session_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.set(KeyPrefix(prefix.into()));
        self
    }
}

/// These panic when the app has no [`sessions`](App::sessions): a mistake of the
/// program, told at the first request.
impl Ctx {
    /// The session of this request, if it has one that is not over. Read once
    /// for a request, however often it is asked for.
    ///
    /// # Errors
    /// 503 with `Retry-After` when sessions cannot be read.
    pub async fn session(&mut self) -> Result<Option<Session>, Error> {
        if let Some(SessionLookup(known)) = self.attached() {
            return Ok(known.clone());
        }
        let found = match self.session_cookie() {
            SessionCookie::Absent => None,
            SessionCookie::Unusable => {
                self.count_session(|counters| counters.expired += 1);
                None
            }
            SessionCookie::Id(id) => self.find_session(&id).await?,
        };
        self.know_session(found.clone());
        Ok(found)
    }

    /// Finds the session for who only wants to tell clients apart. One that
    /// cannot be read is none: a limit is not what fails a request.
    pub(crate) async fn identify_session(&mut self) {
        let is_known = self.attached::<RateLimitKey>().is_some();
        if self.part::<ShardSessions>().is_some() && !is_known {
            let _ = self.session().await;
        }
    }

    /// Leaves it for whatever asks again, and as the key of rate limits.
    fn know_session(&mut self, session: Option<Session>) {
        if let Some(session) = &session {
            self.attach(RateLimitKey(session.hash().as_bytes().to_vec()));
        }
        self.attach(SessionLookup(session));
    }

    /// The session as far as it is known: what [`session`](Self::session) found
    /// for this request.
    pub fn known_session(&self) -> Option<&Session> {
        self.attached()
            .and_then(|SessionLookup(session)| session.as_ref())
    }

    /// Begins a session for a user who has shown who they are, in the place of
    /// the one this request came with: an id that was there before a login is
    /// worth nothing after it. The answer must carry
    /// [`BegunSession::set_cookie`] and must not be cached.
    ///
    /// # Errors
    /// 503 with `Retry-After` when it cannot be kept; 401 when a
    /// backend keeps sessions and has no such user.
    pub async fn begin_session(&mut self, user_id: i64) -> Result<BegunSession, Error> {
        // Which of several is the client's own cannot be told: none outlives this.
        let named = self.named_sessions()?;
        let (here, is_secure) = (self.sessions(), self.is_secure());
        let store = here.store(self.shard_redis());
        let begin = here
            .sessions
            .begin(&store, user_id, named.first(), is_secure);
        let no_user = || Error::new(StatusCode::UNAUTHORIZED, "there is no such user any more");
        let begun = begin.await?.ok_or_else(no_user)?;
        for id in named.iter().skip(1) {
            store.end(&id.hash()).await?;
        }
        self.count_session(|counters| counters.created += 1);
        self.know_session(Some(begun.session.clone()));
        Ok(begun)
    }

    /// Begins a session for whom email and password belong to; `None` when they
    /// do not, without saying which is wrong. Takes the same time for both.
    ///
    /// # Errors
    /// As [`begin_session`](Self::begin_session); 503 when too many logins are
    /// under way ([`crate::limits::PASSWORD_HASHES_MAX`]).
    pub async fn log_in(
        &mut self,
        email: &str,
        password: String,
    ) -> Result<Option<BegunSession>, Error> {
        let here = self.sessions();
        let login = here.backend().login(email).await?;
        let user_id = login.as_ref().map(|login| login.user_id);
        let hash = login.and_then(|login| login.password_hash);
        let passwords = &here.sessions.passwords;
        let is_right = passwords.verify(password, hash).await.inspect_err(|_| {
            self.count_session(|counters| counters.logins_busy += 1);
        })?;
        match user_id.filter(|_| is_right) {
            Some(user_id) => self.begin_session(user_id).await.map(Some),
            None => {
                self.count_session(|counters| counters.logins_refused += 1);
                Ok(None)
            }
        }
    }

    /// Ends the session of this request, if it has one; of several that its cookies
    /// name, each. The answer should carry the `Set-Cookie` this returns.
    ///
    /// # Errors
    /// 503 with `Retry-After` when that cannot be had; 400 when there are more than
    /// [`SESSION_COOKIES_MAX`], of which none is ended.
    pub async fn end_session(&mut self) -> Result<HeaderValue, Error> {
        let named = self.named_sessions()?;
        let store = self.sessions().store(self.shard_redis());
        for id in &named {
            store.end(&id.hash()).await?;
            self.count_session(|counters| counters.ended += 1);
        }
        self.attach(SessionLookup(None));
        let secure = self.is_secure();
        self.sessions().sessions.expired_cookie(secure)
    }

    /// Checks that a request which changes something does not come from another
    /// site's page. The app does so for every request with a session's cookie;
    /// what makes a session must do it itself.
    ///
    /// # Errors
    /// 403.
    pub fn check_origin(&self) -> Result<(), Error> {
        let mut origins = self.header_all(&header::ORIGIN);
        let origin = origins.next();
        let request = RequestOrigin {
            site: self.header_bytes(&SEC_FETCH_SITE),
            origin: match origins.next() {
                Some(_) => Some(b""),
                None => origin,
            },
            has_referer: self.header_bytes(&header::REFERER).is_some(),
            authority: self.host().as_bytes(),
            is_secure: self.is_secure(),
        };
        if self.sessions().sessions.may_use(&request) {
            return Ok(());
        }
        self.count_session(|counters| counters.origins_refused += 1);
        let detail = "this request comes from another site's page (Sec-Fetch-Site, Origin)";
        let error = Error::new(StatusCode::FORBIDDEN, detail);
        Err(error.with_problem_type("urn:corelane:problem:cross-site"))
    }

    async fn find_session(&self, id: &SessionId) -> Result<Option<Session>, Error> {
        let here = self.sessions();
        let store = here.store(self.shard_redis());
        let mut found = here.sessions.find(&store, id).await?;
        if let (Some(session), false) = (&found, store.forgets_users())
            && let Some(UserCheck(check)) = &here.users
            && !check(self, session.user_id).await?
        {
            store.end(&session.hash()).await?;
            found = None;
        }
        self.count_session(|counters| match found {
            Some(_) => counters.found += 1,
            None => counters.expired += 1,
        });
        Ok(found)
    }

    fn session_cookie(&self) -> SessionCookie {
        self.session_cookies().single()
    }

    fn session_cookies(&self) -> SessionCookies {
        let lines = self.header_all(&header::COOKIE);
        let here = self.sessions();
        SessionCookies::find(lines, &here.sessions.options.cookie, self.is_secure())
    }

    /// Every session that the request names.
    fn named_sessions(&self) -> Result<Vec<SessionId>, Error> {
        let cookies = self.session_cookies();
        match cookies.is_overfull {
            true => Err(Error::bad_request(format!(
                "more than {SESSION_COOKIES_MAX} session cookies: clear those of this site"
            ))),
            false => Ok(cookies.ids),
        }
    }

    fn sessions(&self) -> Rc<ShardSessions> {
        let sessions = self.part::<ShardSessions>();
        sessions.expect("the app has no sessions; add App::sessions")
    }

    fn count_session(&self, count: impl FnOnce(&mut SessionCounters)) {
        count(&mut self.shard_metrics().borrow_mut().counters.sessions);
    }
}

/// Stands around whatever may change something, outermost.
pub(crate) async fn guard(ctx: Ctx, next: Next) -> Result<Response, Error> {
    if !is_safe_method(ctx.method()) && !matches!(ctx.session_cookie(), SessionCookie::Absent) {
        ctx.check_origin()?;
    }
    next.run(ctx).await
}

const SEC_FETCH_SITE: http::HeaderName = http::HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::RedisOptions;

    #[test]
    fn sessions_need_a_place_to_be_kept_and_options_that_can_be_meant() {
        let app = || App::new().sessions(SessionOptions::default());
        let problem = |app: App| app.check().unwrap_err().to_string();
        assert!(problem(app()).contains("session_backend"));
        let redis = || RedisOptions::new("redis://127.0.0.1:1/0");
        assert_eq!(app().redis(redis()).check(), Ok(()));
        assert_eq!(
            problem(app().nest("/a", app())),
            problem(app().nest("/b", app()))
        );
        assert!(problem(app().nest("/a", app())).contains("once"));
        let wrong = SessionOptions {
            cookie: String::new(),
            ..SessionOptions::default()
        };
        assert!(problem(App::new().sessions(wrong)).contains("cookie"));
        let off = SessionOptions {
            enabled: false,
            ..SessionOptions::default()
        };
        assert_eq!(App::new().sessions(off).check(), Ok(()));
    }
}
