//! `counters!`: every counter is written once.
//!
//! From one entry come the field that a shard counts in (a plain integer), its
//! part in the sum of two shards, its sample of a [`Family`] and its key in the
//! JSON. The tables made of it are read at a scrape only.

use super::family::{Family, FamilyKind, Label, Sample};

/// Makes a struct of counters.
///
/// A family of one number names its field after `=>`; its help is the field's
/// documentation. One of several numbers has its labels after `by`, and in
/// braces the fields with a value for each label. A sample is its field's
/// number, or what `= function` makes of the whole.
///
/// The keys of the JSON are in the order of the fields, or as `json` says:
/// `by_name`, or in the order of a list of all of them.
///
/// ```ignore
/// counters! {
///     /// What happened at the door.
///     pub struct DoorCounters, json by_name {
///         counter "door_openings_total" "How often the door was opened." => openings;
///         counter "door_knocks_total" "Knocks, by who answered." by answer {
///             /// Somebody did.
///             answered: "somebody",
///             /// Nobody did.
///             ignored: "nobody",
///         };
///     }
/// }
/// ```
macro_rules! counters {
    (
        $(#[$about:meta])*
        pub struct $name:ident $(, json $order:tt)? {
            $(
                $kind:ident $family:literal $help:literal
                $(=> $single:ident)?
                $(by $($label:ident)* {
                    $(
                        $(#[$doc:meta])*
                        $field:ident $(: $($value:literal)+)? $(= $read:expr)?
                    ),+ $(,)?
                })?
            ;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[doc = $help] pub $single: u64,)?
                $($($(#[$doc])* pub $field: u64,)+)?
            )+
        }

        impl $name {
            /// Adds another shard's, or a predecessor's.
            pub fn add(&mut self, other: &Self) {
                $(
                    $(self.$single += other.$single;)?
                    $($(self.$field += other.$field;)+)?
                )+
            }

            /// Names and values, as declared.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$(
                    $((stringify!($single), self.$single),)?
                    $($((stringify!($field), self.$field),)+)?
                )+]
            }
        }

        impl $crate::metrics::counted::Counted for $name {
            const FAMILIES: &'static [$crate::metrics::counted::FamilyOf<Self>] = &[$(
                $crate::metrics::counted::FamilyOf {
                    kind: $crate::metrics::counted::counters!(@kind $kind),
                    name: $family,
                    help: $help,
                    labels: &[$($(stringify!($label)),*)?],
                    samples: &[
                        $((&[], |counted: &Self| counted.$single),)?
                        $($((
                            &[$($($value),+)?],
                            $crate::metrics::counted::counters!(@read $field $(= $read)?),
                        ),)+)?
                    ],
                },
            )+];

            fn json_fields(&self) -> Vec<(&'static str, u64)> {
                $crate::metrics::counted::counters!(@json self $($order)?)
            }
        }
    };

    (@kind counter) => { $crate::metrics::FamilyKind::Counter };
    (@kind gauge) => { $crate::metrics::FamilyKind::Gauge };

    (@read $field:ident) => { |counted: &Self| counted.$field };
    (@read $field:ident = $read:expr) => { $read };

    (@json $counted:ident) => { $counted.fields() };
    (@json $counted:ident by_name) => {{
        let mut fields = $counted.fields();
        fields.sort_unstable();
        fields
    }};
    (@json $counted:ident [$($field:ident)+]) => {{
        // Does not compile while a field is missing in the list.
        let Self { $($field),+ } = *$counted;
        vec![$((stringify!($field), $field)),+]
    }};
}

pub(super) use counters;

/// What `counters!` makes of a struct for those who write it down.
pub(super) trait Counted: Sized + 'static {
    /// In the order of the exposition.
    const FAMILIES: &'static [FamilyOf<Self>];

    /// Names and values in the order of the JSON.
    fn json_fields(&self) -> Vec<(&'static str, u64)>;
}

/// A family of which every `T` has the same samples.
pub(super) struct FamilyOf<T: 'static> {
    pub(super) kind: FamilyKind,
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) samples: &'static [SampleOf<T>],
}

/// A value for each label, and the number.
pub(super) type SampleOf<T> = (&'static [&'static str], fn(&T) -> u64);

impl<T> FamilyOf<T> {
    fn of(&self, owners: &[(Vec<Label>, &T)]) -> Family {
        let mut samples = Vec::with_capacity(owners.len() * self.samples.len());
        for (owner, counted) in owners {
            for (values, read) in self.samples {
                let own = self.labels.iter().zip(*values);
                let own = own.map(|(&label, &value)| (label, value.into()));
                let labels = owner.iter().cloned().chain(own).collect();
                samples.push(Sample::new(labels, read(counted)));
            }
        }
        Family {
            name: self.name,
            help: self.help,
            kind: self.kind,
            samples,
        }
    }
}

/// The families of `T` with the samples of each owner, whose labels go first.
pub(super) fn families_of<T: Counted>(owners: &[(Vec<Label>, &T)]) -> impl Iterator<Item = Family> {
    T::FAMILIES.iter().map(move |family| family.of(owners))
}

/// Adds one shard's shares to those of others, by name.
pub(super) fn add_by_name<T: Clone>(
    sums: &mut Vec<T>,
    shares: &[T],
    name: fn(&T) -> &str,
    add: fn(&mut T, &T),
) {
    for share in shares {
        match sums.iter_mut().find(|sum| name(sum) == name(share)) {
            Some(sum) => add(sum, share),
            None => sums.push(share.clone()),
        }
    }
}

#[cfg(test)]
#[allow(unreachable_pub)]
mod tests {
    use super::*;

    counters! {
        /// What happened at a door.
        pub struct DoorCounters, json by_name {
            counter "door_knocks_total" "Knocks, by hand and by who answered." by hand answer {
                /// Somebody did.
                knocks: "left" "somebody",
                /// Nobody did.
                ignored: "right" "nobody",
            };
            gauge "door_guests" "Guests inside." by {
                /// Those who left; they are not inside.
                exits = DoorCounters::guests,
            };
            counter "door_entries_total" "Guests who came in." => entries;
        }
    }

    impl DoorCounters {
        fn guests(&self) -> u64 {
            self.entries - self.exits
        }
    }

    fn counted() -> DoorCounters {
        DoorCounters {
            knocks: 7,
            ignored: 2,
            exits: 1,
            entries: 5,
        }
    }

    #[test]
    fn every_field_is_added_and_named_once() {
        let mut sum = counted();
        sum.add(&counted());
        let declared = [
            ("knocks", 14),
            ("ignored", 4),
            ("exits", 2),
            ("entries", 10),
        ];
        assert_eq!(sum.fields(), declared);
        let by_name = [
            ("entries", 10),
            ("exits", 2),
            ("ignored", 4),
            ("knocks", 14),
        ];
        assert_eq!(sum.json_fields(), by_name);
    }

    #[test]
    fn every_family_has_the_samples_of_every_owner() {
        let counted = counted();
        let owners = ["front", "back"].map(|door| (vec![("door", door.into())], &counted));
        let told = families_of(&owners).map(|family| {
            let samples = family.samples.into_iter();
            let samples = samples.map(|sample| format!("{:?} {:?}", sample.labels, sample.value));
            (family.kind, family.name, samples.collect::<Vec<_>>())
        });
        let told: Vec<_> = told.collect();
        assert_eq!(
            told[0].2,
            [
                r#"[("door", "front"), ("hand", "left"), ("answer", "somebody")] Integer(7)"#,
                r#"[("door", "front"), ("hand", "right"), ("answer", "nobody")] Integer(2)"#,
                r#"[("door", "back"), ("hand", "left"), ("answer", "somebody")] Integer(7)"#,
                r#"[("door", "back"), ("hand", "right"), ("answer", "nobody")] Integer(2)"#,
            ]
        );
        assert_eq!((told[1].0, told[1].1), (FamilyKind::Gauge, "door_guests"));
        assert_eq!(told[1].2[0], r#"[("door", "front")] Integer(4)"#);
        assert_eq!(told[2].2[1], r#"[("door", "back")] Integer(5)"#);
    }

    #[test]
    fn shares_are_added_to_the_sum_of_their_name() {
        let mut sums = vec![("a", 1)];
        let shares = [("b", 10), ("a", 100), ("b", 1_000)];
        add_by_name(&mut sums, &shares, |s| s.0, |sum, share| sum.1 += share.1);
        assert_eq!(sums, [("a", 101), ("b", 1_010)]);
    }
}
