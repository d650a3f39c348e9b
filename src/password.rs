//! Password hashes: argon2id (RFC 9106) in the PHC string format. Pure
//! computing, some tens of milliseconds of it: never on a shard.
//!
//! Parameters are OWASP's: 19 MiB of memory, two passes, one lane. RFC 9106's
//! own second choice takes 64 MiB and four lanes, which a server that hashes
//! for several clients at once would have to find for each.

use argon2::password_hash::{PasswordHash, PasswordVerifier, Salt, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};

/// Hashes a password. `salt` is random, another for each.
///
/// # Errors
/// The password or its hash does not fit memory.
pub fn hash(password: &[u8], salt: [u8; SALT_BYTES]) -> Result<String, PasswordError> {
    let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError)?;
    let salt: Salt<'_> = salt.as_salt();
    let hash = hasher()?.hash_password(password, salt);
    hash.map(|hash| hash.to_string()).map_err(|_| PasswordError)
}

/// Whether a password is the one that was hashed. Takes the same time when
/// there is no hash, or one that cannot be read, and says no then.
pub fn verify(password: &[u8], hash: Option<&str>) -> bool {
    let parsed = hash.and_then(|hash| PasswordHash::new(hash).ok());
    let is_real = parsed.is_some();
    let parsed = parsed.or_else(|| PasswordHash::new(NOBODYS).ok());
    let matches = |hash: PasswordHash<'_>| {
        let hasher = hasher().ok();
        hasher.is_some_and(|hasher| hasher.verify_password(password, &hash).is_ok())
    };
    parsed.is_some_and(matches) && is_real
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// A password could not be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordError;

impl std::fmt::Display for PasswordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the password could not be hashed")
    }
}

impl std::error::Error for PasswordError {}

/// Random bytes of a salt (RFC 9106 section 3.1).
pub const SALT_BYTES: usize = 16;
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A hash that is made as any other and belongs to nobody.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
    AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_that_was_hashed_is_right() {
        let hashed = hash(b"correct horse", [7; SALT_BYTES]).unwrap();
        assert!(
            hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hashed}"
        );
        assert!(verify(b"correct horse", Some(&hashed)));
        assert!(!verify(b"correct horsf", Some(&hashed)));
        assert!(!verify(b"", Some(&hashed)));
        let other_salt = hash(b"correct horse", [8; SALT_BYTES]).unwrap();
        assert_ne!(hashed, other_salt);
    }

    #[test]
    fn without_a_hash_nothing_is_right_and_the_same_work_is_done() {
        assert!(!verify(b"", None) && !verify(b"x", Some("not a hash")));
        let stand_in = PasswordHash::new(NOBODYS).unwrap();
        let real = hash(b"x", [7; SALT_BYTES]).unwrap();
        let real = PasswordHash::new(&real).unwrap();
        assert_eq!(
            Params::try_from(&stand_in).unwrap(),
            Params::try_from(&real).unwrap()
        );
        let length = |hash: &PasswordHash<'_>| hash.hash.unwrap().len();
        assert_eq!(length(&stand_in), length(&real));
    }
}
