//! Where a lake's objects lie, what is written when, and what is refused.
mod reading;

use std::fs;

use ledgerfill_make::{Content, MakeError, Order, make_lake};
use reading::{Folder, batch, files, header, make, objects, order};

fn keys(folder: &Folder) -> Vec<String> {
    files(&folder.0).into_iter().map(|(key, _)| key).collect()
}

fn text(folder: &Folder, name: &str) -> String {
    fs::read_to_string(folder.0.join(name)).unwrap()
}

#[test]
fn one_ledger_an_object_lies_in_folders_of_partitions() {
    let folder = Folder::new("partitions");
    make(&Order { objects_per_partition: 4, ..order(&folder, 3, Content::Sparse) }).unwrap();
    let expected = [
        ".config.json",
        "FFFFFFFB--4-7/FFFFFFFB--4.xdr.zst",
        "FFFFFFFF--0-3/FFFFFFFC--3.xdr.zst",
        "FFFFFFFF--0-3/FFFFFFFD--2.xdr.zst",
        "expected.json",
    ];
    assert_eq!(keys(&folder), expected);
}

#[test]
fn one_object_a_partition_needs_no_folder() {
    let folder = Folder::new("flat");
    make(&Order { objects_per_partition: 1, first: 997, ..order(&folder, 1, Content::Sparse) }).unwrap();
    assert_eq!(keys(&folder), [".config.json", "FFFFFC1A--997.xdr.zst", "expected.json"]);
}

#[test]
fn objects_of_several_ledgers_are_whole() {
    let folder = Folder::new("several");
    make(&Order { ledgers_per_object: 4, first: 3, ..order(&folder, 7, Content::Sparse) }).unwrap();
    let expected = [("--0-3.", 2..=3), ("--4-7.", 4..=7), ("--8-11.", 8..=11)];
    let objects = objects(&folder.0);
    assert_eq!(objects.len(), expected.len());
    for ((key, object), (name, ledgers)) in objects.iter().zip(expected) {
        assert!(key.contains(name), "{key}");
        let batch = batch(object);
        assert_eq!(batch.start_sequence..=batch.end_sequence, ledgers);
        let held: Vec<_> = batch.ledger_close_metas.iter().map(|ledger| header(ledger).header.ledger_seq).collect();
        assert_eq!(held, ledgers.collect::<Vec<_>>());
    }
}

#[test]
fn a_frame_has_a_checksum_and_no_size() {
    let folder = Folder::new("frame");
    make(&order(&folder, 1, Content::Sparse)).unwrap();
    let (_, object) = &objects(&folder.0)[0];
    let descriptor = object[4];
    assert_eq!(descriptor & 0b100, 0b100, "the checksum's flag");
    assert_eq!(descriptor >> 6, 0, "the size's flag");
    assert_eq!(descriptor & 0b10_0000, 0, "a single segment would tell the size");
}

#[test]
fn the_manifest_and_the_counts_say_what_was_made() {
    let folder = Folder::new("manifest");
    let made = make(&Order { ledgers_per_object: 2, ..order(&folder, 8, Content::Sparse) }).unwrap();
    let manifest = text(&folder, ".config.json");
    for line in ["\"networkPassphrase\": \"ledgerfill synthetic network ; 2026\"", "\"ledgersPerBatch\": 2"] {
        assert!(manifest.contains(line), "{manifest}");
    }
    let expected = text(&folder, "expected.json");
    for line in ["\"first\": 2", "\"last\": 9", &format!("\"transactions\": {}", made.transactions)] {
        assert!(expected.contains(line), "{expected}");
    }
}

#[test]
fn a_folder_that_holds_anything_is_refused_and_left_alone() {
    let folder = Folder::new("occupied");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join("letter"), "mine").unwrap();
    let refused = make(&order(&folder, 1, Content::Sparse)).unwrap_err();
    assert!(matches!(refused, MakeError::Io { .. }) && refused.to_string().contains("not empty"), "{refused}");
    assert_eq!(keys(&folder), ["letter"]);
}

#[test]
fn a_lake_that_was_interrupted_has_no_manifest() {
    let folder = Folder::new("interrupted");
    let stopped = make_lake(&order(&folder, 100_000, Content::Pubnet), &mut || false).unwrap_err();
    assert!(matches!(stopped, MakeError::Interrupted));
    assert!(!keys(&folder).iter().any(|key| key.ends_with(".json") || key.ends_with(".part")));
}

#[test]
fn an_object_that_cannot_be_written_ends_the_run() {
    let folder = Folder::new("unwritable");
    fs::create_dir_all(&folder.0).unwrap();
    let mut blocked = false;
    let order = Order { threads: 2, objects_per_partition: 8, ..order(&folder, 400, Content::Pubnet) };
    // A file where the last partition's folder should be.
    let failed = make_lake(&order, &mut || {
        blocked = blocked || fs::write(folder.0.join("FFFFFE6F--400-407"), "").is_ok();
        true
    });
    let failed = failed.unwrap_err();
    assert!(matches!(failed, MakeError::Io { .. }) && failed.to_string().contains("FFFFFE6F--400-407"), "{failed}");
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let folder = Folder::new("senseless");
    let sound = order(&folder, 10, Content::Sparse);
    let senseless = [
        Order { first: 1, ..sound },
        Order { ledgers: 0, ..sound },
        Order { ledgers_per_object: 0, ..sound },
        Order { objects_per_partition: 0, ..sound },
        Order { first: i32::MAX as u32, ..sound },
        Order { objects_per_partition: u32::MAX, ..sound },
        Order { content: Content::Repeat { objects: &[], passphrase: "any" }, ..sound },
    ];
    for order in senseless {
        let refused = make(&order).unwrap_err();
        assert!(matches!(refused, MakeError::Argument(_)), "{refused}");
        assert!(!folder.0.exists(), "nothing is written");
    }
}
