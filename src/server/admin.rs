//! The admin listener as a server is started with it, and what is refused.

use std::net::SocketAddr;

use crate::limits::{ADMIN_TOKEN_BYTES_MAX, ADMIN_TOKEN_BYTES_MIN};

/// A second listener, for an operator: it answers the routes of
/// [`App::admin`](crate::App::admin), and the public one never does.
///
/// A thread of its own serves it, and nothing else: whatever blocks a shard, an
/// operator is answered. It is a shard like the others, on epoll, with state,
/// caches and Redis, but home to no key of a cache or rate limit; its
/// [`index`](crate::ShardInfo::index) is the number of the others. The socket
/// outlives the thread like the public ones. At most
/// [`ADMIN_CONNECTIONS_MAX`](crate::limits::ADMIN_CONNECTIONS_MAX) connections
/// at a time, which the public ones do not count against.
///
/// Every request must show that it may come in, before anything else is done
/// with it:
///
/// - With a token it carries one `Authorization: Bearer TOKEN`, else 401. It is
///   compared in constant time. Nothing here encrypts: outside this machine the
///   token belongs on a private network, or behind a proxy with TLS.
/// - Without one the listener must be on a loopback address, and `Host` must be
///   `localhost` or a loopback address, against DNS rebinding; a request whose
///   `Origin` is not such a host, or that a browser calls `cross-site`, is a
///   page of another site in a browser of this machine. Both are 403. Every
///   user and program of this machine may come in.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminOptions {
    /// Address and port; port 0 lets the kernel choose. Not a loopback address:
    /// there must be a token.
    pub listen: SocketAddr,
    /// What requests must carry: 16 to 512 visible ASCII characters.
    pub token: Option<String>,
}

impl AdminOptions {
    /// A listener without a token.
    pub fn new(listen: impl Into<SocketAddr>) -> Self {
        Self {
            listen: listen.into(),
            token: None,
        }
    }

    /// Checks what [`Server::start`](super::Server::start) would refuse beside
    /// a public listener on `public`.
    ///
    /// # Errors
    /// [`AdminError`], which names the cure and never the token.
    pub fn check(&self, public: SocketAddr) -> Result<(), AdminError> {
        match &self.token {
            Some(token) => check_token(token)?,
            None if !self.is_loopback() => {
                return Err(AdminError::TokenMissing {
                    listen: self.listen,
                });
            }
            None => {}
        }
        let same_port = self.listen.port() == public.port() && public.port() != 0;
        let (one, other) = (self.listen.ip().to_canonical(), public.ip().to_canonical());
        if same_port && (one == other || one.is_unspecified() || other.is_unspecified()) {
            return Err(AdminError::SameAddress {
                listen: self.listen,
            });
        }
        Ok(())
    }

    /// Whether only this machine can reach it.
    fn is_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}

/// Without the token.
impl std::fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminOptions")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .finish()
    }
}

/// Checks a token's length and characters; a header carries no others.
///
/// # Errors
/// [`AdminError::TokenShort`], [`AdminError::TokenLong`] or
/// [`AdminError::TokenCharacters`].
pub fn check_token(token: &str) -> Result<(), AdminError> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AdminError::TokenCharacters);
    }
    match token.len() {
        0..ADMIN_TOKEN_BYTES_MIN => Err(AdminError::TokenShort),
        ADMIN_TOKEN_BYTES_MIN..=ADMIN_TOKEN_BYTES_MAX => Ok(()),
        _ => Err(AdminError::TokenLong),
    }
}

/// Why there can be no admin listener like this.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminError {
    /// It can be reached from other machines and asks for nothing.
    TokenMissing {
        /// Where it would listen.
        listen: SocketAddr,
    },
    /// Too easy to guess.
    TokenShort,
    /// It would not fit a request.
    TokenLong,
    /// It has characters that a header cannot carry.
    TokenCharacters,
    /// The public listener is there already.
    SameAddress {
        /// Where it would listen.
        listen: SocketAddr,
    },
}

impl AdminError {
    /// What is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::TokenMissing { listen } => format!(
                "the admin listener on {listen} can be reached from other machines and has no token"
            ),
            Self::TokenShort => {
                format!("admin.token is shorter than {ADMIN_TOKEN_BYTES_MIN} characters")
            }
            Self::TokenLong => {
                format!("admin.token is longer than {ADMIN_TOKEN_BYTES_MAX} characters")
            }
            Self::TokenCharacters => {
                "admin.token has spaces or characters outside ASCII, which a header cannot carry"
                    .to_owned()
            }
            Self::SameAddress { listen } => {
                format!("admin.listen, {listen}, is where the public listener is")
            }
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::TokenMissing { .. } => "set admin.token or listen on 127.0.0.1",
            Self::TokenShort | Self::TokenLong | Self::TokenCharacters => {
                "`openssl rand -hex 32` makes a good one"
            }
            Self::SameAddress { .. } => {
                "choose another port for admin.listen, or `--admin off` to do without"
            }
        }
    }
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what(), self.cure())
    }
}

impl std::error::Error for AdminError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, token: Option<&str>, public: &str) -> Result<(), AdminError> {
        let options = AdminOptions {
            listen: listen.parse().unwrap(),
            token: token.map(str::to_owned),
        };
        options.check(public.parse().unwrap())
    }

    const TOKEN: Option<&str> = Some("0123456789abcdef");

    #[test]
    fn only_this_machine_comes_in_without_a_token() {
        for listen in [
            "127.0.0.1:0",
            "127.9.9.9:1",
            "[::1]:2",
            "[::ffff:127.0.0.1]:3",
        ] {
            assert_eq!(check(listen, None, "0.0.0.0:80"), Ok(()), "{listen}");
        }
        for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            let error = check(listen, None, "0.0.0.0:80").unwrap_err().to_string();
            assert!(
                error.contains("set admin.token or listen on 127.0.0.1"),
                "{error}"
            );
            assert_eq!(check(listen, TOKEN, "0.0.0.0:80"), Ok(()), "{listen}");
        }
    }

    #[test]
    fn a_token_is_long_enough_and_fits_a_header() {
        let refused = |token: &str| check("[::]:1", Some(token), "[::]:2").unwrap_err();
        assert_eq!(refused(""), AdminError::TokenShort);
        assert_eq!(refused("0123456789abcde"), AdminError::TokenShort);
        assert_eq!(refused(&"x".repeat(513)), AdminError::TokenLong);
        for odd in [
            "0123456789 abcdef",
            "0123456789abcdef\n",
            "0123456789abcd\u{e9}",
        ] {
            let error = refused(odd);
            assert_eq!(error, AdminError::TokenCharacters);
            assert!(!error.to_string().contains(odd.trim()), "{error}");
        }
        assert_eq!(check_token(&"x".repeat(512)), Ok(()));
    }

    #[test]
    fn the_public_listener_is_somewhere_else() {
        for (admin, public) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "0.0.0.0:1"),
            ("127.0.0.1:1", "[::]:1"),
            ("[::1]:1", "[::]:1"),
        ] {
            assert!(check(admin, None, public).is_err(), "{admin} {public}");
        }
        for (admin, public) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("127.0.0.1:1", "10.0.0.1:1"),
            ("[::1]:1", "127.0.0.1:1"),
        ] {
            assert_eq!(check(admin, None, public), Ok(()), "{admin} {public}");
        }
    }

    #[test]
    fn no_debug_form_shows_the_token() {
        let options = AdminOptions {
            token: TOKEN.map(str::to_owned),
            ..AdminOptions::new(([127, 0, 0, 1], 1))
        };
        let shown = format!("{options:?}");
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        assert!(
            shown.contains("***") && shown.contains("127.0.0.1:1"),
            "{shown}"
        );
    }
}
