//! Rates in the script decide the same as those of core.

use redis::Script;
use scheduler_core::run::{Pace, RateState};
use tests::redis::Server;

use crate::script::{GATES, without_comments};

const ASK: &str = "
local rates, numbers = gates().rates, {}
for n = 2, #ARGV do numbers[n] = tonumber(ARGV[n]) end
local gate, now = { 'rate', numbers[3], numbers[4], numbers[5], numbers[6] }, numbers[2]
local after, opens = rates.take(rates.read(ARGV[1]), gate, now)
local back = after and rates.give_back(rates.read(rates.text(after)), gate, now)
return {
  after and rates.text(after) or '', opens and text(opens) or '', text(rates.left(rates.read(ARGV[1]), gate, now)),
  back and rates.text(back) or '',
}";

fn random(seed: &mut u64, most: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % most
}

#[test]
fn the_script_and_core_have_the_same_rates() {
    let server = Server::start();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let script = Script::new(&format!("{}{ASK}", GATES.map(without_comments).concat()));
    let rates = [
        (1, 1000, 0),
        (5, 700, 0),
        (32, 60_000, 0),
        (33, 999, 0),
        (100, 60_000, 0),
        (10, 1000, 1),
        (10, 999, 4),
        (7, 333, 7),
    ];
    for (max, window, burst) in rates {
        let (pace, mut state, mut seed) = (Pace::new(window, burst), RateState::default(), 7);
        let mut now = 1_767_225_600_000_i64;
        for _ in 0..150 {
            now += random(&mut seed, 3 * u64::from(window / max).max(1)) as i64;
            if random(&mut seed, 10) == 0 {
                now -= i64::from(window);
            }
            let cost = 1 + random(&mut seed, u64::from(if burst > 0 { burst } else { max }).min(3)) as u32;
            let mut call = script.prepare_invoke();
            call.key("prefix:").arg(state.text()).arg(now);
            for number in [cost, max, window, burst] {
                call.arg(number);
            }
            let found: [String; 4] = call.invoke::<Vec<String>>(&mut connection).unwrap().try_into().unwrap();
            let taken = state.take(max, pace, now, cost);
            let after = taken.as_ref().map(RateState::text).unwrap_or_default();
            let opens = taken.as_ref().err().map(ToString::to_string).unwrap_or_default();
            let back =
                taken.clone().map(|after| after.give_back(max, pace, now, cost).text()).unwrap_or_default();
            let expected = [after, opens, state.left(max, pace, now).to_string(), back];
            assert_eq!(
                found,
                expected,
                "{max} in {window} ms, burst {burst}, cost {cost}, at {now} of `{}`",
                state.text()
            );
            state = taken.unwrap_or(state);
        }
    }
}
