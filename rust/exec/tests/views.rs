//! Views: what may be looked at together, and what is a bug of the plan.
#![cfg(not(loom))]

use octavo_exec::{Arena, Place, Slot, Views, cast, cast_mut};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn slot(place: Place, offset: usize, len: usize) -> Slot {
    Slot { place, offset, len }
}

/// Views over 256 bytes of arena, inputs of 16 and 8, outputs of 32 and 4, and a constant of 12 bytes.
fn with_views<R>(f: impl FnOnce(&mut Views<'_>) -> R) -> R {
    let mut arena = Arena::new(256).unwrap();
    let (mut first, mut second) = ([0; 32], [0; 4]);
    let constants = [Arena::from_bytes(&[7; 12]).unwrap()];
    let inputs: [&[u8]; 2] = [&[1; 16], &[2; 8]];
    let mut outputs: [&mut [u8]; 2] = [&mut first, &mut second];
    f(&mut Views::new(&mut arena, &inputs, &mut outputs, &constants))
}

#[test]
fn a_step_reads_and_writes_all_places_at_once() {
    let mut arena = Arena::new(256).unwrap();
    let (mut first, mut second) = ([0; 32], [0; 4]);
    let constants = [vec![7u8; 12]];
    let inputs: [&[u8]; 2] = [&[1; 16], &[2; 8]];
    let mut outputs: [&mut [u8]; 2] = [&mut first, &mut second];
    let mut views = Views::new(&mut arena, &inputs, &mut outputs, &constants);
    {
        let reads = [
            slot(Place::Input(0), 4, 3),
            slot(Place::Input(1), 0, 8),
            slot(Place::Constant(0), 11, 1),
            slot(Place::Arena, 128, 2),
        ];
        let writes = [
            slot(Place::Arena, 64, 64),
            slot(Place::Arena, 130, 8),
            slot(Place::Output(0), 16, 16),
            slot(Place::Output(0), 0, 16),
            slot(Place::Output(1), 0, 4),
        ];
        let ([a, b, c, d], [e, f, g, h, i]) = views.get(reads, writes);
        assert_eq!((a, b, c, d), (&[1; 3][..], &[2; 8][..], &[7; 1][..], &[0; 2][..]));
        cast_mut::<f32>(e).fill(0.5);
        f.fill(9);
        g.fill(3);
        h.fill(4);
        i.copy_from_slice(&b[..4]);
    }
    // What one step wrote the next one reads, also from an output.
    let ([e, f, first_out], []) = views
        .get([slot(Place::Arena, 64, 64), slot(Place::Arena, 130, 8), slot(Place::Output(0), 8, 16)], []);
    assert_eq!(cast::<f32>(e), [0.5; 16]);
    assert_eq!(f, [9; 8]);
    assert_eq!(first_out, [4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3]);
    assert_eq!(second, [2; 4]);
}

#[test]
fn reads_may_overlap_and_empty_slots_touch_nothing() {
    with_views(|views| {
        let whole = slot(Place::Arena, 0, 256);
        let ([a, b], []) = views.get([whole, slot(Place::Arena, 10, 20)], []);
        assert_eq!((a.len(), b.len()), (256, 20));
        let ([empty], [all]) = views.get([slot(Place::Arena, 10, 0)], [whole]);
        assert_eq!((empty.len(), all.len()), (0, 256));
        let ([], [end]) = views.get([], [slot(Place::Arena, 256, 0)]);
        assert!(end.is_empty());
    });
}

/// Of two slots to read, two that may be missing and two to write, each in turn shares its last byte with the first that
/// is written.
#[test]
fn no_slot_of_any_group_shares_a_byte_with_a_written_one() {
    let refused = |meets: Option<usize>| {
        let at = |group: usize| slot(Place::Arena, if meets == Some(group) { 25 } else { 64 + 8 * group }, 8);
        let first = slot(Place::Arena, 32, 8);
        catch_unwind(AssertUnwindSafe(|| {
            with_views(|views| {
                let ([a, b], [c, missing, d], [_, _]) =
                    views.get_optional([at(0), at(1)], [Some(at(2)), None, Some(at(3))], [first, at(4)]);
                assert_eq!([a, b, c.unwrap(), d.unwrap()], [[0; 8]; 4]);
                assert!(missing.is_none());
            });
        }))
        .is_err()
    };
    assert!(!refused(None));
    for group in 0..5 {
        assert!(refused(Some(group)), "slot {group}");
    }
}

#[test]
fn bugs_of_a_plan_panic() {
    use Place::{Arena, Constant, Input, Output};
    let read = |place, offset, len| (Some(slot(place, offset, len)), None);
    let write = |place, offset, len| (None, Some(slot(place, offset, len)));
    let none = (None, None);
    let cases = [
        ("read past the arena", read(Arena, 250, 7), none, "leaves its place"),
        ("read past an input", read(Input(1), 0, 9), none, "leaves its place"),
        ("read past a constant", read(Constant(0), 12, 1), none, "leaves its place"),
        ("read past an output", read(Output(1), 5, 0), none, "leaves its place"),
        ("read no such input", read(Input(2), 0, 0), none, "out of bounds"),
        ("read no such output", read(Output(2), 0, 0), none, "out of bounds"),
        ("read no such constant", read(Constant(1), 0, 0), none, "out of bounds"),
        ("offset + len wraps", read(Arena, usize::MAX, 2), none, "leaves its place"),
        ("write wraps", write(Arena, usize::MAX, 2), none, "leaves its place"),
        ("write past the arena", write(Arena, 256, 1), none, "leaves its place"),
        ("write past an output", write(Output(0), 0, 33), none, "leaves its place"),
        ("write an input", write(Input(0), 0, 1), none, "cannot be written"),
        ("write a constant", write(Constant(0), 0, 0), none, "cannot be written"),
        ("write what is read", write(Arena, 0, 8), read(Arena, 7, 8), "while"),
        ("write inside what is read", write(Arena, 4, 1), read(Arena, 0, 16), "while"),
        ("write the same twice", write(Arena, 0, 8), write(Arena, 0, 8), "while"),
        ("write around a write", write(Output(0), 0, 32), write(Output(0), 31, 1), "while"),
        ("write around a read of an output", write(Output(0), 0, 32), read(Output(0), 3, 1), "while"),
    ];
    let mut failed = Vec::new();
    for (name, (read_a, write_a), (read_b, write_b), expected) in cases {
        let result = catch_unwind(AssertUnwindSafe(|| {
            with_views(|views| match (read_a, write_a, read_b, write_b) {
                (Some(r), None, None, None) => drop(views.get([r], [])),
                (None, Some(w), None, None) => drop(views.get([], [w])),
                (None, Some(w), Some(r), None) => drop(views.get([r], [w])),
                (None, Some(w), None, Some(v)) => drop(views.get([], [w, v])),
                _ => unreachable!("no such case"),
            });
        }));
        let message = result.err().and_then(|panic| panic.downcast::<String>().ok());
        if !message.as_ref().is_some_and(|message| message.contains(expected)) {
            failed.push((name, message));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
