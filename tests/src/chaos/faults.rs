//! What can go wrong.

use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::time::{Clock, SystemClock};

use super::servers::{Way, key};
use super::{Chaos, NODES, Place, millis, wait};
use crate::history::Window;
use crate::proxy::Trick;
use crate::redis;

/// The verbs whose calls are played tricks.
const VERBS: [&str; 8] = ["take", "release", "fire", "complete", "beat", "attach", "lose", "take_over"];

/// Where in its work a node is killed, one after the other: before a call has come to the server, or after it was carried out
/// and before its answer is there.
const STEPS: [(&str, Trick); 7] = [
    ("take", Trick::LoseRequest),
    ("take", Trick::LoseReply),
    ("fire", Trick::LoseRequest),
    ("fire", Trick::LoseReply),
    ("complete", Trick::LoseRequest),
    ("complete", Trick::LoseReply),
    ("beat", Trick::LoseReply),
];

/// How far a clock is set at most.
const FURTHEST: i64 = 5000;

/// What is done to one server and its nodes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Kill,
    KillInACall,
    Freeze,
    Leave,
    Trick,
    Cut,
    Part,
    HoldBack,
    Delay,
    Flush,
    HoldServer,
    SetClock,
    Fill,
    KillServer,
}

/// How often each comes up, in an order of chance, before any comes again.
const ALL: &[(Fault, usize)] = &[
    (Fault::Kill, 1),
    (Fault::KillInACall, STEPS.len()),
    (Fault::Freeze, 2),
    (Fault::Leave, 2),
    (Fault::Trick, 5),
    (Fault::Cut, 1),
    (Fault::Part, 1),
    (Fault::HoldBack, 1),
    (Fault::Delay, 1),
    (Fault::Flush, 1),
    (Fault::HoldServer, 1),
    (Fault::SetClock, 1),
    (Fault::Fill, 1),
    (Fault::KillServer, 1),
];

/// The same where servers replace each other: what can happen without a proxy.
const WITHOUT_PROXY: &[(Fault, usize)] =
    &[(Fault::Kill, 2), (Fault::Freeze, 1), (Fault::Leave, 1), (Fault::Flush, 1), (Fault::Fill, 1)];

impl Chaos {
    /// One server: everything.
    pub(super) fn disturb_one(&mut self) {
        let Some(index) = self.node() else { return };
        let fault = self.draw(ALL);
        self.play(fault, index);
    }

    fn draw(&mut self, all: &[(Fault, usize)]) -> Fault {
        if self.deck.is_empty() {
            self.deck = all.iter().flat_map(|(fault, times)| std::iter::repeat_n(*fault, *times)).collect();
        }
        let chance = self.below(self.deck.len() as u64);
        self.deck.swap_remove(usize::try_from(chance).unwrap_or_default())
    }

    fn play(&mut self, fault: Fault, index: usize) {
        match fault {
            Fault::Kill => self.kill(index),
            Fault::KillInACall => self.kill_in_a_call(index),
            Fault::Freeze => self.freeze(index),
            Fault::Leave => self.leave(index),
            Fault::Trick => self.trick(index),
            Fault::Flush => self.flush(),
            Fault::SetClock => self.set_clock(),
            Fault::Fill => self.fill(),
            Fault::Cut => {
                self.note("connections of a node cut");
                self.proxies[index].cut();
            }
            Fault::Part => {
                self.note("node parted from the server for a while");
                let time = self.below(2 * millis(self.plan.lease));
                if time > millis(self.plan.lease) / 2 {
                    // What it has fired may be taken over before it hears of that.
                    self.lose(index);
                }
                self.proxies[index].close();
                wait(Duration::from_millis(time));
                self.proxies[index].open();
            }
            Fault::HoldBack => {
                self.note("answers to a node held back for a while");
                self.proxies[index].swallow(true);
                let time = self.below(millis(self.plan.lease));
                wait(Duration::from_millis(time));
                self.proxies[index].swallow(false);
                self.proxies[index].cut();
            }
            Fault::Delay => {
                self.note("network slow for a while");
                let delay = self.below(60);
                self.proxies[index].delay(Duration::from_millis(delay));
                wait(Duration::from_secs(1));
                self.proxies[index].delay(Duration::ZERO);
            }
            Fault::HoldServer => {
                self.note("server held still for a while");
                self.servers.master().signal("STOP");
                let time = self.below(2 * millis(self.plan.lease));
                wait(Duration::from_millis(time));
                self.servers.master().signal("CONT");
            }
            Fault::KillServer => {
                self.note("server killed and started again");
                self.servers.master_mut().kill();
                let time = self.below(3000);
                wait(Duration::from_millis(time));
                self.servers.master_mut().restart();
            }
        }
    }

    /// Servers that replace each other.
    pub(super) fn disturb_many(&mut self) {
        self.look_who_has_the_data();
        let now = SystemClock.monotonic();
        if self.moves.last().is_some_and(|at| *at <= now) && self.servers.can_move() {
            self.moves.pop();
            return self.move_on();
        }
        let Some(index) = self.node() else { return };
        let fault = self.draw(WITHOUT_PROXY);
        self.play(fault, index);
    }

    /// Some node; none if it was not there and has been started.
    fn node(&mut self) -> Option<usize> {
        let index = usize::try_from(self.below(NODES as u64)).unwrap_or_default();
        if self.nodes[index].is_none() {
            self.start(index);
            return None;
        }
        Some(index)
    }

    /// The node may be held for dead from now on.
    fn lose(&mut self, index: usize) {
        let name = self.nodes[index].as_ref().map(super::Node::name).unwrap_or_default();
        self.lost.extend(self.session_of(&name));
    }

    fn trick(&mut self, index: usize) {
        let verb = VERBS[usize::try_from(self.below(VERBS.len() as u64)).unwrap_or_default()];
        let (what, trick) = match self.below(3) {
            0 => ("request lost", Trick::LoseRequest),
            1 => ("answer lost", Trick::LoseReply),
            _ => ("request carried out once more, late", Trick::Duplicate),
        };
        self.note(what);
        self.proxies[index].play(verb, trick);
    }

    fn kill(&mut self, index: usize) {
        self.note("node killed");
        self.end(index);
    }

    fn kill_in_a_call(&mut self, index: usize) {
        let (verb, trick) = STEPS[self.steps % STEPS.len()];
        let played = self.proxies[index].played();
        self.proxies[index].play(verb, trick);
        let deadline = SystemClock.monotonic() + Duration::from_secs(3);
        while self.proxies[index].played() == played {
            if SystemClock.monotonic() > deadline {
                // It has nothing of the kind to say; the next one will have.
                return self.kill(index);
            }
            wait(Duration::from_millis(1));
        }
        self.steps += 1;
        self.note(match trick {
            Trick::LoseReply => "node killed after a call was carried out, before its answer",
            _ => "node killed before a call came to the server",
        });
        self.end(index);
    }

    /// Kills it, and waits until the others have taken over.
    fn end(&mut self, index: usize) {
        let Some(mut node) = self.nodes[index].take() else { return };
        let name = node.name();
        let session = self.session_of(&name);
        node.child.kill().ok();
        node.child.wait().ok();
        let Some(session) = session else { return };
        self.lost.push(session);
        // The others take over, if there are any.
        if self.nodes.iter().flatten().count() == 0 {
            return;
        }
        let begin = SystemClock.monotonic();
        let deadline = begin + self.plan.lease * 4;
        while SystemClock.monotonic() < deadline {
            let orphans = self.servers.master().ask(&["SCARD", &key("orphans")]);
            if self.session_of(&name).is_none()
                && orphans.is_ok_and(|orphans| orphans == ::redis::Value::Int(0))
            {
                self.takeovers.push(SystemClock.monotonic() - begin);
                return;
            }
            wait(Duration::from_millis(10));
        }
    }

    fn freeze(&mut self, index: usize) {
        let time = self.below(3 * millis(self.plan.lease));
        if time > millis(self.plan.lease) / 2 {
            self.note("node held still for about its lease or longer");
            self.lose(index);
        } else {
            self.note("node held still for a moment");
        }
        let Some(node) = &mut self.nodes[index] else { return };
        let pid = node.child.id().to_string();
        redis::signal("STOP", &pid);
        wait(Duration::from_millis(time));
        redis::signal("CONT", &pid);
    }

    fn leave(&mut self, index: usize) {
        self.note("node stopped in order");
        if let Some(node) = self.nodes[index].take() {
            node.leave();
        }
    }

    fn flush(&mut self) {
        self.note("scripts of the server flushed");
        self.servers.master().command(&["SCRIPT", "FLUSH"]);
    }

    fn fill(&mut self) {
        self.note("memory of the server full for a while");
        self.servers.master().command(&["CONFIG", "SET", "maxmemory", "1"]);
        let time = self.below(3000);
        wait(Duration::from_millis(time));
        self.servers.master().command(&["CONFIG", "SET", "maxmemory", "0"]);
    }

    /// Forward or back for a while, and not again before all leases are over that the step has shortened.
    fn set_clock(&mut self) {
        let now = SystemClock.monotonic();
        if self.clock_set.is_some_and(|at| now < at + 2 * self.plan.lease) {
            return;
        }
        let ahead = i64::try_from(self.below(2 * FURTHEST.unsigned_abs())).unwrap_or_default() - FURTHEST;
        let begin = SystemClock.now().timestamp_millis();
        if !self.servers.set_clock(TimeDelta::milliseconds(ahead)) {
            return;
        }
        self.note("clock of the server set");
        self.clock_set = Some(now);
        let time = self.below(3000);
        wait(Duration::from_millis(time));
        self.servers.set_clock(TimeDelta::zero());
        // Nodes may hear late that it is right again.
        let end =
            (SystemClock.now() + TimeDelta::from_std(self.plan.lease).unwrap_or_default()).timestamp_millis();
        self.clocks.push((Window { begin, end }, ahead));
    }

    fn move_on(&mut self) {
        let number = self.windows.len() as u64 + self.plan.seed;
        let way = match self.plan.place {
            // Here the old one goes on writing for a moment, and the copies that hear of it have to be made anew.
            Place::Sentinel if self.moves.is_empty() => Way::Order,
            Place::Sentinel => [Way::Kill, Way::Hold][(number % 2) as usize],
            _ => [Way::Kill, Way::Hold, Way::Order][(number % 3) as usize],
        };
        let held = Duration::from_millis(self.below(3000));
        let (what, window) = self.servers.move_on(way, held);
        self.has_moved(what, window);
    }

    /// Also where nobody has asked for it.
    pub(super) fn look_who_has_the_data(&mut self) {
        self.servers.look();
        if let Some(window) = self.servers.has_moved() {
            self.has_moved("a copy took over by itself", window);
        }
        self.servers.retire();
    }

    fn has_moved(&mut self, what: &'static str, window: Window) {
        self.windows.push(window);
        self.note(what);
    }
}
