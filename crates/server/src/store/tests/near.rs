//! Nearest users: exact, everywhere on Earth, and cheap in a crowd.

use proptest::prelude::*;

use super::{Cases, Fixture, Kind};
use crate::store::geo::distance_km;
use crate::store::{Location, Store, User};

both_stores!(
    distance_and_order_are_those_of_measuring_everybody,
    the_antimeridian_and_the_poles_are_no_borders,
    the_whole_earth_is_not_read_for_the_nearest_few,
    a_crowd_in_one_place_is_answered_from_part_of_it,
);

fn at(lat: f64, lon: f64) -> Location {
    Location { lat, lon }
}

fn with_places(kind: Kind, places: &[Location]) -> Fixture {
    let fixture = kind.fixture();
    fixture.insert(users_at(places));
    fixture
}

fn users_at(places: &[Location]) -> impl Iterator<Item = User> {
    (1..).zip(places).map(|(id, place)| User {
        id,
        name: "n".to_owned(),
        email: format!("{id}@x"),
        age: 5,
        location: Some(*place),
        created_at_ms: 5,
        updated_at_ms: 6,
        version: 7,
    })
}

async fn near(store: &Store, center: Location, radius_km: f64, limit: u32) -> Vec<(i64, f64)> {
    let found = store.users_near(center, radius_km, limit).await.unwrap();
    found.into_iter().map(|(user, km)| (user.id, km)).collect()
}

/// The same by measuring everybody.
fn expected(places: &[Location], center: Location, radius_km: f64, limit: u32) -> Vec<(i64, f64)> {
    let mut all: Vec<(i64, f64)> = (1..)
        .zip(places)
        .map(|(id, place)| (id, distance_km(center, *place)))
        .filter(|(_, km)| *km <= radius_km)
        .collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    all.truncate(limit as usize);
    all
}

fn anywhere() -> impl Strategy<Value = Location> {
    prop_oneof![
        (-90.0..=90.0, -180.0..=180.0),
        (
            prop_oneof![Just(90.0), Just(-90.0), -90.0..-89.5],
            -180.0..=180.0
        ),
        (
            -90.0..=90.0,
            prop_oneof![Just(180.0), Just(-180.0), -180.0..-179.5]
        ),
        (47.99..48.01, 1.99..2.01),
        (Just(48.0), Just(2.0)),
    ]
    .prop_map(|(lat, lon)| at(lat, lon))
}

fn distance_and_order_are_those_of_measuring_everybody(kind: Kind) {
    let config = ProptestConfig::with_cases(40);
    let asks = prop::collection::vec(
        (
            anywhere(),
            prop_oneof![0.0..2.0, 0.0..500.0, 0.0..21_000.0],
            1_u32..100,
        ),
        10,
    );
    let cases = Cases::of(kind);
    proptest!(config, |(places in prop::collection::vec(anywhere(), 0..400), asks in asks)| {
        cases.run(users_at(&places), async |store| {
            for (center, radius_km, limit) in asks {
                let got = near(store, center, radius_km, limit).await;
                prop_assert_eq!(got, expected(&places, center, radius_km, limit));
            }
            Ok(())
        })?;
    });
}

fn the_antimeridian_and_the_poles_are_no_borders(kind: Kind) {
    let places = [
        at(-16.8, 179.99),
        at(-16.8, -179.99),
        at(89.9, 0.0),
        at(89.9, 180.0),
    ];
    let fixture = with_places(kind, &places);
    fixture.on_shard(async |store| {
        let fiji = near(store, at(-16.8, 180.0), 5.0, 10).await;
        assert_eq!(fiji.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
        assert!((fiji[0].1 - 1.06).abs() < 0.02, "{fiji:?}");
        let pole = near(store, at(90.0, -77.0), 12.0, 10).await;
        assert_eq!(pole.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4]);
        for (radius_km, limit) in [(-1.0, 5), (f64::NAN, 5), (100.0, 0)] {
            assert_eq!(near(store, places[0], radius_km, limit).await, []);
        }
        assert_eq!(near(store, places[0], 0.0, 5).await, [(1, 0.0)]);
    });
}

fn the_whole_earth_is_not_read_for_the_nearest_few(kind: Kind) {
    let mut random = fastrand::Rng::with_seed(5);
    let places: Vec<Location> = (0..30_000)
        .map(|_| at(48.0 + random.f64(), 2.0 + random.f64()))
        .collect();
    let fixture = with_places(kind, &places);
    fixture.on_shard(async |store| {
        // From inside the crowd, from its edge, and from the other side of the Earth.
        for center in [at(48.5, 2.5), at(45.0, 2.0), at(-48.0, -177.0)] {
            let yields = count_yields(near(store, center, 21_000.0, 20)).await;
            let (yields, found) = yields;
            assert_eq!(found, expected(&places, center, 21_000.0, 20));
            // Of PostgreSQL the plan tells; here it is waited for.
            let slices_max = if kind == Kind::Sqlite { 12 } else { usize::MAX };
            assert!(yields < slices_max, "{yields} slices of 1,024 rows");
        }
    });
}

fn a_crowd_in_one_place_is_answered_from_part_of_it(kind: Kind) {
    let mut places = vec![at(10.0, 10.0); 9_000];
    places.push(at(10.0, 10.5));
    let fixture = with_places(kind, &places);
    fixture.on_shard(async |store| {
        let found = near(store, at(10.0, 10.1), 21_000.0, 50).await;
        let km = distance_km(at(10.0, 10.1), places[0]);
        assert_eq!(found.len(), 50);
        assert!(found.iter().all(|(_, found)| *found == km));
    });
}

/// How often a future gave way before it was done.
async fn count_yields<F: Future>(future: F) -> (usize, F::Output) {
    let mut future = std::pin::pin!(future);
    let mut yields = 0;
    let output = std::future::poll_fn(|cx| {
        let poll = future.as_mut().poll(cx);
        yields += usize::from(poll.is_pending());
        poll
    })
    .await;
    (yields, output)
}
