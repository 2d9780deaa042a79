//! What happens every night, day by day.

use super::*;

const DAY: i64 = 1_440;

#[test]
fn what_happens_every_night_is_usual_from_the_fourth_on_and_what_is_more_is_not() {
    let mut fleet = Fleet::new();
    fleet.now = 700 * DAY;
    let worse: Broken<'_> = &|client, target, samples| {
        samples[3] *= 3;
        slow_server(client, target, samples)
    };
    let mut told = [0; 5];
    for (day, told) in told.iter_mut().enumerate() {
        for minute in 0..DAY {
            let broken = match (minute, day) {
                // Before it was over in the last night, something else was slow too.
                (145..160, 4) => worse,
                (120..160, _) => &slow_server,
                _ => FINE,
            };
            let said = fleet.minute(2, broken);
            let is_night = (120..145).contains(&minute);
            *told += said.iter().filter(|s| is_night && s.incident.is_some()).count();
        }
    }
    assert!(told[..3].iter().all(|&told| told > 50), "{told:?}");
    assert_eq!(told[3..], [0, 0]);
    let last = fleet.engine.incidents().last().unwrap();
    assert_eq!(last.onset, 704 * DAY + 145, "{last:?}");
    let numbers = fleet.engine.payload(last);
    let factor = numbers.seasonal_factor.unwrap();
    assert!((3.5..4.5).contains(&factor), "260 ms where 60 are usual: {factor}");
}

#[test]
fn a_detector_that_begins_anew_knows_the_nights_before() {
    let mut fleet = Fleet::new();
    fleet.now = 700 * DAY;
    let night = |minute: i64| (120..160).contains(&(minute % DAY));
    for minute in 0..5 * DAY {
        fleet.minute(2, if night(minute) { &slow_server } else { FINE });
    }
    let engine = fleet.engine.anew(704 * DAY);
    let places = std::mem::replace(&mut fleet.engine, engine).places;
    for (cell, place) in places.iter().enumerate() {
        fleet.engine.place(CellId(cell), place);
    }
    fleet.now = 704 * DAY;
    for minute in 0..300 {
        let said = fleet.minute(2, if night(minute) { &slow_server } else { FINE });
        assert!(said.iter().all(|said| said.incident.is_none()), "{said:?} at {minute}");
    }
}

#[test]
fn a_night_without_what_other_nights_have_leaves_the_usual_as_it_was() {
    let mut fleet = Fleet::new();
    fleet.now = 700 * DAY;
    for minute in 0..4 * DAY + 300 {
        let at_night = (120..180).contains(&(minute % DAY)) && minute < 4 * DAY;
        let said = fleet.minute(2, if at_night { &slow_server } else { FINE });
        let told = said.iter().find(|said| said.incident.is_some());
        assert!(told.is_none() || minute < 3 * DAY, "{told:?} at {minute}");
    }
}
