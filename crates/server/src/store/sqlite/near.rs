//! Runs the nearest-users search over the R*Tree, letting the shard's other
//! tasks run in between. No snapshot is held across that: a user who moves
//! meanwhile is measured again at the end.

use rusqlite::{OptionalExtension, params};

use super::queries::Query;
use super::reader::Reader;
use super::store_error;
use crate::store::geo::{Cell, NearSearch, Probe, distance_km};
use crate::store::limits;
use crate::store::{Location, StoreError, User};
use corelane::engine;

/// At most `limit` users within `radius_km`, nearest first, with km.
pub(super) async fn users_near(
    reader: &Reader,
    center: Location,
    radius_km: f64,
    limit: u32,
) -> Result<Vec<(User, f64)>, StoreError> {
    let crowd_max = limits::STORE_NEAR_CROWD_ROWS_MAX;
    let mut search = NearSearch::new(center, radius_km, limit as usize, crowd_max);
    let (mut rows_in_all, mut rows_in_slice) = (0, 0);
    while let Some(probe) = search.next_probe() {
        let rows = look_up(reader, &mut search, probe).map_err(store_error)?;
        rows_in_all += rows;
        // A lookup that finds nothing costs something too.
        rows_in_slice += rows + PROBE_COST_ROWS;
        if rows_in_all > limits::STORE_NEAR_ROWS_MAX {
            break;
        }
        if rows_in_slice > limits::STORE_NEAR_SLICE_ROWS {
            rows_in_slice = 0;
            engine::yield_now().await;
        }
    }
    read_found(reader, center, radius_km, search).map_err(store_error)
}

/// A probe costs about as much as reading this many rows.
const PROBE_COST_ROWS: usize = 8;

/// Looks one cell up; the rows read.
fn look_up(reader: &Reader, search: &mut NearSearch, probe: Probe) -> rusqlite::Result<usize> {
    let ids = ids_in(reader, probe.cell, probe.rows_max)?;
    if ids.len() >= probe.rows_max && !probe.is_final {
        search.cut(probe.cell);
        return Ok(ids.len());
    }
    let mut place = reader.prepare(Query::PlaceById)?;
    for &id in ids
        .iter()
        .filter(|id| search.is_new(**id))
        .collect::<Vec<_>>()
    {
        let found = place
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((Some(lat), Some(lon))) = found {
            search.measure(id, Location { lat, lon });
        }
    }
    Ok(ids.len())
}

fn ids_in(reader: &Reader, cell: Cell, rows_max: usize) -> rusqlite::Result<Vec<i64>> {
    let Cell { lat, lon } = cell;
    let mut statement = reader.prepare(Query::IdsInCell)?;
    statement
        .query_map(
            params![lat.0, lat.1, lon.0, lon.1, rows_max as i64],
            |row| row.get(0),
        )?
        .collect()
}

/// The users found, as they are now.
fn read_found(
    reader: &Reader,
    center: Location,
    radius_km: f64,
    search: NearSearch,
) -> rusqlite::Result<Vec<(User, f64)>> {
    let _snapshot = reader.snapshot()?;
    let mut found = Vec::new();
    for id in search.into_ids() {
        let Some(user) = reader.user(id)? else {
            continue;
        };
        let Some(place) = user.location else { continue };
        let km = distance_km(center, place);
        if km <= radius_km {
            found.push((user, km));
        }
    }
    found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.id.cmp(&b.0.id)));
    Ok(found)
}
