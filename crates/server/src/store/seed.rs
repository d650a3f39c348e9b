//! Demo data: people with plausible names around real cities, and what they
//! post. Rows follow from a seed alone; which database they go to is not known
//! here.

use super::{Location, NewUser, StoreError};
use corelane::password::{self, SALT_BYTES};

/// The password of every demo user; no secret, and hashed once for all of them.
pub const DEMO_PASSWORD: &str = "corelane-demo";

/// How much demo data to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedPlan {
    /// Users to add.
    pub users: u64,
    /// Posts to add, by authors drawn from all users.
    pub posts: u64,
    /// The same seed on the same database gives the same rows.
    pub random_seed: u64,
}

impl Default for SeedPlan {
    /// What a first start fills in: 1,000 users and 5,000 posts.
    fn default() -> Self {
        Self {
            users: 1_000,
            posts: 5_000,
            random_seed: 42,
        }
    }
}

/// What was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedReport {
    /// Users added.
    pub users: u64,
    /// Posts added.
    pub posts: u64,
    /// Time it took.
    pub elapsed_ms: u64,
}

/// The hash of [`DEMO_PASSWORD`], with a salt of its own for each seeding. Takes
/// some tens of milliseconds.
pub(super) fn demo_password_hash() -> Result<String, StoreError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)
        .map_err(|error| StoreError::Failed(format!("no random bytes: {error}")))?;
    let hash = password::hash(DEMO_PASSWORD.as_bytes(), salt);
    hash.map_err(|error| StoreError::Failed(error.to_string()))
}

/// Makes rows, one after another.
#[derive(Debug)]
pub(super) struct DemoRows {
    random: fastrand::Rng,
}

/// A post before it has an author.
#[derive(Debug)]
pub(super) struct DemoPost {
    pub(super) title: String,
    pub(super) body: String,
}

impl DemoRows {
    /// Rows for a database whose last user had the id `last_id`, so that a
    /// second run does not repeat the first.
    pub(super) fn new(random_seed: u64, last_id: i64) -> Self {
        let mixed = random_seed ^ (last_id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self {
            random: fastrand::Rng::with_seed(mixed),
        }
    }

    /// A user; `number` makes the email unique among demo users.
    pub(super) fn user(&mut self, number: i64) -> NewUser {
        let first = self.pick(FIRST_NAMES);
        let last = self.pick(LAST_NAMES);
        let domain = self.pick(EMAIL_DOMAINS);
        let email = format!("{first}.{last}{number}@{domain}").to_ascii_lowercase();
        let age = 18 + self.below(32) + self.below(41);
        NewUser {
            name: format!("{first} {last}"),
            email,
            age,
            location: self.location(),
        }
    }

    /// A post.
    pub(super) fn post(&mut self) -> DemoPost {
        let topic = self.pick(TOPICS);
        let title = self.pick(TITLES).replace("{}", topic);
        let sentences = 1 + self.random.usize(..4);
        let body: Vec<String> = (0..sentences)
            .map(|_| self.pick(SENTENCES).replace("{}", topic))
            .collect();
        DemoPost {
            title,
            body: body.join(" "),
        }
    }

    /// Some moment of the year that starts at [`DEMO_EPOCH_MS`].
    pub(super) fn moment_ms(&mut self) -> i64 {
        DEMO_EPOCH_MS + self.below(YEAR_MS)
    }

    /// A whole number of `0..bound`; 0 when `bound` is not positive.
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        self.random.i64(0..bound.max(1))
    }

    /// Nine of ten live within some 20 km of a city, on no grid.
    fn location(&mut self) -> Option<Location> {
        if self.random.u8(..10) == 0 {
            return None;
        }
        let (city_lat, city_lon) = CITIES[self.random.usize(..CITIES.len())];
        let mut spread = || (self.random.f64() + self.random.f64() - 1.0) * 0.2;
        let lat: f64 = city_lat + spread();
        let lon: f64 = city_lon + spread() / lat.to_radians().cos();
        let round = |degrees: f64| (degrees * 1e6).round() / 1e6;
        Some(Location {
            lat: round(lat),
            lon: round(lon),
        })
    }

    fn pick(&mut self, from: &'static [&'static str]) -> &'static str {
        from[self.random.usize(..from.len())]
    }
}

/// 2024-01-01T00:00:00Z.
const DEMO_EPOCH_MS: i64 = 1_704_067_200_000;
const YEAR_MS: i64 = 366 * 86_400_000;

#[rustfmt::skip]
const FIRST_NAMES: &[&str] = &[
    "Ada", "Aisha", "Akira", "Alejandro", "Amara", "Ana", "Anders", "Arjun", "Astrid", "Beatriz",
    "Carlos", "Chen", "Chiara", "Chloe", "Daniel", "David", "Diego", "Elena", "Elif", "Emma",
    "Erik", "Fatima", "Felix", "Freya", "Gabriel", "Giulia", "Grace", "Hana", "Hannah", "Hassan",
    "Hugo", "Ibrahim", "Ines", "Ingrid", "Isabel", "Ivan", "James", "Jamal", "Jan", "Jin", "Joao",
    "Johan", "Julia", "Kaito", "Kamala", "Karim", "Kofi", "Lars", "Laura", "Leila", "Liam", "Linh",
    "Lucas", "Lucia", "Maja", "Malik", "Maria", "Marta", "Mateo", "Mei", "Mia", "Minh", "Mohammed",
    "Nadia", "Naomi", "Nia", "Nikola", "Noah", "Nora", "Oliver", "Olga", "Omar", "Oscar", "Paula",
    "Pedro", "Petra", "Priya", "Rahul", "Ravi", "Rosa", "Ruth", "Samira", "Santiago", "Sara",
    "Sofia", "Stefan", "Sven", "Tariq", "Thandiwe", "Thomas", "Tomas", "Uma", "Valentina", "Victor",
    "Wei", "Yara", "Yuki", "Yusuf", "Zara", "Zofia",
];

#[rustfmt::skip]
const LAST_NAMES: &[&str] = &[
    "Abbas", "Adeyemi", "Ahmed", "Ali", "Almeida", "Andersson", "Bakker", "Banerjee", "Bauer",
    "Becker", "Bianchi", "Brown", "Campbell", "Castro", "Chen", "Costa", "Dasilva", "Dubois",
    "Diaz", "Eriksen", "Evans", "Fernandez", "Fischer", "Garcia", "Ghosh", "Gomez", "Gonzalez",
    "Gupta", "Haddad", "Hansen", "Hassan", "Hernandez", "Hoffmann", "Horvat", "Hughes", "Ibrahim",
    "Ito", "Ivanova", "Jansen", "Johansson", "Jones", "Kaya", "Khan", "Kim", "Klein", "Kowalski",
    "Kumar", "Larsen", "Lee", "Lopez", "Martin", "Martinez", "Mbeki", "Mehta", "Mensah", "Meyer",
    "Moreau", "Morgan", "Moyo", "Mueller", "Nakamura", "Ndiaye", "Nguyen", "Nielsen", "Novak",
    "Nowak", "Okafor", "Olsen", "Ortiz", "Park", "Patel", "Pereira", "Perez", "Petrov", "Pham",
    "Popescu", "Rahman", "Ramirez", "Rao", "Rossi", "Ruiz", "Saito", "Sanchez", "Santos", "Sato",
    "Schmidt", "Schneider", "Sharma", "Singh", "Smith", "Sousa", "Suzuki", "Tanaka", "Taylor",
    "Tran", "Weber", "Williams", "Wilson", "Yamamoto", "Zhang",
];

/// Domains nobody can own (RFC 2606).
const EMAIL_DOMAINS: &[&str] = &["example.com", "example.net", "example.org", "mail.example"];

#[rustfmt::skip]
const CITIES: &[(f64, f64)] = &[
    (48.8566, 2.3522), (51.5074, -0.1278), (52.5200, 13.4050), (40.4168, -3.7038),
    (41.9028, 12.4964), (52.3676, 4.9041), (59.3293, 18.0686), (60.1699, 24.9384),
    (50.0755, 14.4378), (47.4979, 19.0402), (52.2297, 21.0122), (37.9838, 23.7275),
    (41.0082, 28.9784), (38.7223, -9.1393), (53.3498, -6.2603), (40.7128, -74.0060),
    (34.0522, -118.2437), (41.8781, -87.6298), (37.7749, -122.4194), (43.6532, -79.3832),
    (49.2827, -123.1207), (19.4326, -99.1332), (4.7110, -74.0721), (-12.0464, -77.0428),
    (-33.4489, -70.6693), (-34.6037, -58.3816), (-23.5505, -46.6333), (30.0444, 31.2357),
    (6.5244, 3.3792), (-1.2921, 36.8219), (-26.2041, 28.0473), (5.6037, -0.1870),
    (33.5731, -7.5898), (25.2048, 55.2708), (32.0853, 34.7818), (35.6892, 51.3890),
    (24.8607, 67.0011), (28.6139, 77.2090), (19.0760, 72.8777), (12.9716, 77.5946),
    (23.8103, 90.4125), (13.7563, 100.5018), (1.3521, 103.8198), (-6.2088, 106.8456),
    (14.5995, 120.9842), (10.8231, 106.6297), (22.3193, 114.1694), (31.2304, 121.4737),
    (39.9042, 116.4074), (37.5665, 126.9780), (35.6762, 139.6503), (-33.8688, 151.2093),
    (-37.8136, 144.9631), (-36.8485, 174.7633), (-18.1416, 178.4419),
];

const TOPICS: &[&str] = &[
    "caching",
    "io_uring",
    "database indexes",
    "connection pools",
    "compression",
    "pagination",
    "load balancing",
    "profiling",
    "rate limiting",
    "streaming",
    "batching",
    "observability",
    "backpressure",
    "memory",
    "sessions",
    "static assets",
];

const TITLES: &[&str] = &[
    "What I learned about {}",
    "Five myths about {}",
    "A field guide to {}",
    "{}, measured",
    "When {} goes wrong",
    "Notes on {}",
    "{} without tears",
    "Rethinking {}",
];

const SENTENCES: &[&str] = &[
    "We measured {} before and after, and the median hardly moved.",
    "The tail is where {} earns its keep.",
    "Most advice about {} forgets what it costs when nothing is wrong.",
    "Start without {}, and write down what would make you add it.",
    "A week later we removed half of what we had built for {}.",
    "If you only read one chapter about {}, read the one on failure.",
    "The simplest form of {} was also the fastest one we tried.",
    "Nobody noticed {} until the day it stopped.",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_rows_and_another_does_not() {
        let rows = |seed, last| {
            let mut rows = DemoRows::new(seed, last);
            (0..50).map(|n| rows.user(n)).collect::<Vec<_>>()
        };
        assert_eq!(rows(1, 0), rows(1, 0));
        assert_ne!(rows(1, 0), rows(2, 0));
        assert_ne!(rows(1, 0), rows(1, 1_000));
    }

    #[test]
    fn rows_are_valid_and_most_have_a_place() {
        let mut rows = DemoRows::new(7, 0);
        let users: Vec<_> = (0..5_000).map(|n| rows.user(n)).collect();
        let placed = users.iter().filter_map(|user| user.location).count();
        assert!((4_300..4_700).contains(&placed), "{placed}");
        let ages: HashSet<_> = users.iter().map(|user| user.age).collect();
        let moments: HashSet<_> = (0..100).map(|_| rows.moment_ms()).collect();
        assert!(
            ages.len() > 50 && moments.len() > 90,
            "{} {}",
            ages.len(),
            moments.len()
        );
        for user in &users {
            assert!((18..=150).contains(&user.age));
            assert!(user.email.is_ascii() && user.name.len() <= 100);
            if let Some(place) = user.location {
                assert!(
                    place.lat.abs() <= 90.0 && place.lon.abs() <= 180.0,
                    "{place:?}"
                );
            }
        }
    }
}
