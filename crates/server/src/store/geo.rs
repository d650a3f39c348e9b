//! Nearest users on a sphere, as a search that knows no database: it asks for
//! the rows of one rectangle after another and is fed what stands there.
//!
//! The Earth is cut in two again and again; the piece whose nearest point is
//! nearest to the center is always looked at first. A piece that holds more
//! rows than are wanted is cut further before any of its rows is measured, a
//! piece farther than the worst result so far is never looked at. So the work
//! depends on `limit`, not on the radius or on how many users there are, and
//! neither the poles nor the antimeridian is a special case.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};

use super::Location;

/// The IUGG mean radius.
pub(super) const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// Great-circle distance (haversine) in km.
pub(super) fn distance_km(a: Location, b: Location) -> f64 {
    let half_lat = ((b.lat - a.lat).to_radians() / 2.0).sin();
    let half_lon = ((b.lon - a.lon).to_radians() / 2.0).sin();
    let h = half_lat * half_lat
        + a.lat.to_radians().cos() * b.lat.to_radians().cos() * half_lon * half_lon;
    2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
}

/// A rectangle of latitudes and longitudes in degrees; edges belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    pub(super) lat: (f64, f64),
    pub(super) lon: (f64, f64),
}

impl Cell {
    const EARTH: Self = Self {
        lat: (-90.0, 90.0),
        lon: (-180.0, 180.0),
    };

    fn height_km(&self) -> f64 {
        (self.lat.1 - self.lat.0).to_radians() * EARTH_RADIUS_KM
    }

    /// Its greatest east-west extent.
    fn width_km(&self) -> f64 {
        let widest = if self.lat.0 <= 0.0 && self.lat.1 >= 0.0 {
            0.0
        } else {
            self.lat.0.abs().min(self.lat.1.abs())
        };
        (self.lon.1 - self.lon.0).to_radians() * EARTH_RADIUS_KM * widest.to_radians().cos()
    }

    fn size_km(&self) -> f64 {
        self.height_km().max(self.width_km())
    }

    /// Cut in two across its longer side.
    fn halves(&self) -> [Self; 2] {
        let (lat, lon) = (self.lat, self.lon);
        if self.height_km() >= self.width_km() {
            let middle = lat.0.midpoint(lat.1);
            [
                Self {
                    lat: (lat.0, middle),
                    lon,
                },
                Self {
                    lat: (middle, lat.1),
                    lon,
                },
            ]
        } else {
            let middle = lon.0.midpoint(lon.1);
            [
                Self {
                    lat,
                    lon: (lon.0, middle),
                },
                Self {
                    lat,
                    lon: (middle, lon.1),
                },
            ]
        }
    }

    /// Distance from `point` to the nearest place of this cell, or slightly
    /// less (a metre), never more.
    fn distance_km(&self, point: Location) -> f64 {
        let distance = if (self.lon.0..=self.lon.1).contains(&point.lon) {
            let degrees = (self.lat.0 - point.lat)
                .max(point.lat - self.lat.1)
                .max(0.0);
            degrees.to_radians() * EARTH_RADIUS_KM
        } else {
            self.meridian_km(point, self.lon.0)
                .min(self.meridian_km(point, self.lon.1))
        };
        distance - ROUNDING_KM
    }

    /// Distance from `point` to this cell's stretch of the meridian `lon`.
    fn meridian_km(&self, point: Location, lon: f64) -> f64 {
        let to = |lat| distance_km(point, Location { lat, lon });
        let ends = to(self.lat.0).min(to(self.lat.1));
        // Where the great circle from `point` meets the meridian at right angles.
        let (sin, cos) = point.lat.to_radians().sin_cos();
        let foot = sin
            .atan2(cos * (lon - point.lon).to_radians().cos())
            .to_degrees();
        if (self.lat.0..=self.lat.1).contains(&foot) {
            ends.min(to(foot))
        } else {
            ends
        }
    }
}

/// What the search wants looked up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Probe {
    /// Where; rows on the edge, or slightly outside, do no harm.
    pub(super) cell: Cell,
    /// The most rows wanted.
    pub(super) rows_max: usize,
    /// With fewer than `rows_max` rows, or when this is set, the rows are
    /// measured ([`NearSearch::measure`]); otherwise the cell is cut
    /// ([`NearSearch::cut`]).
    pub(super) is_final: bool,
}

/// The search. Ask [`Self::next_probe`] until it gives none.
#[derive(Debug)]
pub(super) struct NearSearch {
    center: Location,
    radius_km: f64,
    limit: usize,
    crowd_max: usize,
    cells: BinaryHeap<Nearest<Cell>>,
    found: BinaryHeap<Farthest>,
    seen: HashSet<i64>,
}

impl NearSearch {
    /// At most `limit` rows within `radius_km`. A cell of a few metres that
    /// holds more than `crowd_max` rows is not told apart further.
    pub(super) fn new(center: Location, radius_km: f64, limit: usize, crowd_max: usize) -> Self {
        let mut center = center;
        if !(-180.0..=180.0).contains(&center.lon) {
            center.lon = (center.lon + 180.0).rem_euclid(360.0) - 180.0;
        }
        let mut search = Self {
            center,
            radius_km,
            limit,
            crowd_max,
            cells: BinaryHeap::new(),
            found: BinaryHeap::new(),
            seen: HashSet::new(),
        };
        if limit > 0 && radius_km >= 0.0 {
            search.push(Cell::EARTH);
        }
        search
    }

    /// The next rectangle to look up.
    pub(super) fn next_probe(&mut self) -> Option<Probe> {
        loop {
            let Nearest {
                distance_km,
                item: cell,
            } = self.cells.pop()?;
            let reach = self.reach_km();
            if distance_km > reach {
                self.cells.clear();
                return None;
            }
            let size = cell.size_km();
            if size > CELL_PER_REACH * reach && size > CELL_MIN_KM {
                self.cut(cell);
                continue;
            }
            let is_final = size <= CELL_MIN_KM;
            let few = (self.limit * 4).max(PROBE_ROWS_MIN);
            let rows_max = if is_final { self.crowd_max } else { few };
            return Some(Probe {
                cell,
                rows_max,
                is_final,
            });
        }
    }

    /// The cell holds too many rows: look at its halves.
    pub(super) fn cut(&mut self, cell: Cell) {
        cell.halves().into_iter().for_each(|half| self.push(half));
    }

    /// Whether this row was not measured yet; cells share edges.
    pub(super) fn is_new(&mut self, id: i64) -> bool {
        self.seen.insert(id)
    }

    /// A row and where it is.
    pub(super) fn measure(&mut self, id: i64, place: Location) {
        let distance_km = distance_km(self.center, place);
        if distance_km > self.radius_km {
            return;
        }
        self.found.push(Farthest { distance_km, id });
        if self.found.len() > self.limit {
            self.found.pop();
        }
    }

    /// The ids found, nearest first.
    pub(super) fn into_ids(self) -> Vec<i64> {
        self.found
            .into_sorted_vec()
            .into_iter()
            .map(|found| found.id)
            .collect()
    }

    /// How far a row may be to matter.
    fn reach_km(&self) -> f64 {
        match self.found.peek() {
            Some(worst) if self.found.len() == self.limit => worst.distance_km,
            _ => self.radius_km,
        }
    }

    fn push(&mut self, cell: Cell) {
        let distance_km = cell.distance_km(self.center);
        if distance_km <= self.reach_km() {
            self.cells.push(Nearest {
                distance_km,
                item: cell,
            });
        }
    }
}

/// Heap order: the nearest on top.
#[derive(Debug)]
struct Nearest<T> {
    distance_km: f64,
    item: T,
}

impl<T> Ord for Nearest<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance_km.total_cmp(&self.distance_km)
    }
}

impl<T> PartialOrd for Nearest<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Nearest<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Nearest<T> {}

/// Heap order: the farthest on top, of equals the highest id.
#[derive(Debug)]
struct Farthest {
    distance_km: f64,
    id: i64,
}

impl Ord for Farthest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance_km
            .total_cmp(&other.distance_km)
            .then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Farthest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Farthest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Farthest {}

/// Farther than floating point can be wrong, antipodes included.
const ROUNDING_KM: f64 = 0.001;
/// A cell this many times the reach is cut without being looked up.
const CELL_PER_REACH: f64 = 4.0;
/// 32-bit coordinates tell places about 2 m apart.
const CELL_MIN_KM: f64 = 0.005;
/// Rows asked of a cell even for a small limit: a lookup costs more than they.
const PROBE_ROWS_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(lat: f64, lon: f64) -> Location {
        Location { lat, lon }
    }

    #[test]
    fn known_distances() {
        let paris = at(48.8566, 2.3522);
        for (place, km) in [
            (at(51.5074, -0.1278), 343.6),
            (at(-36.8485, 174.7633), 18_556.0),
            (at(90.0, 77.0), 4_575.0),
            (paris, 0.0),
        ] {
            let got = distance_km(paris, place);
            assert!((got - km).abs() < 1.0 + km * 0.001, "{got} {km}");
        }
        let half_way_round = distance_km(at(0.0, 180.0), at(0.0, 0.0));
        assert!((half_way_round - EARTH_RADIUS_KM * std::f64::consts::PI).abs() < 1e-6);
        assert!(distance_km(at(10.0, 180.0), at(10.0, -180.0)) < 1e-6);
    }

    #[test]
    fn a_longitude_beyond_the_antimeridian_goes_on_around() {
        let center = NearSearch::new(at(1.0, 190.0), 1.0, 1, 1).center;
        assert_eq!(center, at(1.0, -170.0));
    }

    #[test]
    fn a_small_circle_at_a_pole_asks_for_few_cells() {
        let mut search = NearSearch::new(at(89.99, 10.0), 5.0, 10, 100);
        let probes = std::iter::from_fn(|| search.next_probe()).count();
        assert!((1..40).contains(&probes), "{probes}");
    }

    fn anywhere() -> impl Strategy<Value = Location> {
        prop_oneof![
            (-90.0..=90.0, -180.0..=180.0),
            (
                prop_oneof![Just(90.0), Just(-90.0), 89.9..=90.0],
                -180.0..=180.0
            ),
            (
                -90.0..=90.0,
                prop_oneof![Just(180.0), Just(-180.0), 179.9..=180.0]
            ),
            (-1.0..=1.0, -1.0..=1.0),
        ]
        .prop_map(|(lat, lon)| at(lat, lon))
    }

    proptest! {
        #[test]
        fn a_cell_is_never_nearer_than_its_distance(
            point in anywhere(), a in anywhere(), b in anywhere(),
            inside in (0.0..=1.0, 0.0..=1.0),
        ) {
            let cell = Cell {
                lat: (a.lat.min(b.lat), a.lat.max(b.lat)),
                lon: (a.lon.min(b.lon), a.lon.max(b.lon)),
            };
            let place = at(
                cell.lat.0 + (cell.lat.1 - cell.lat.0) * inside.0,
                cell.lon.0 + (cell.lon.1 - cell.lon.0) * inside.1,
            );
            prop_assert!(cell.distance_km(point) <= distance_km(point, place));
        }

        #[test]
        fn the_search_finds_what_measuring_everybody_finds(
            places in prop::collection::vec(anywhere(), 0..300),
            center in anywhere(),
            radius_km in prop_oneof![0.0..50.0, 0.0..21_000.0],
            limit in 1_usize..40,
        ) {
            let mut search = NearSearch::new(center, radius_km, limit, 10_000);
            while let Some(probe) = search.next_probe() {
                let Probe { cell, rows_max, is_final } = probe;
                let rows: Vec<usize> = (0..places.len())
                    .filter(|&i| (cell.lat.0..=cell.lat.1).contains(&places[i].lat))
                    .filter(|&i| (cell.lon.0..=cell.lon.1).contains(&places[i].lon))
                    .take(rows_max)
                    .collect();
                if rows.len() == rows_max && !is_final {
                    search.cut(cell);
                    continue;
                }
                for i in rows {
                    if search.is_new(i as i64) {
                        search.measure(i as i64, places[i]);
                    }
                }
            }
            let mut all: Vec<(f64, i64)> = (0..places.len())
                .map(|i| (distance_km(center, places[i]), i as i64))
                .filter(|(km, _)| *km <= radius_km)
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            all.truncate(limit);
            let expected: Vec<i64> = all.into_iter().map(|(_, id)| id).collect();
            prop_assert_eq!(search.into_ids(), expected);
        }
    }
}
