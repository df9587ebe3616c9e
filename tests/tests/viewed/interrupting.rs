//! Calls of others while a rule is under way, at points that a test chooses.

use std::sync::Arc;

use crate::store::Viewed;

/// What another node or a client does.
pub(crate) type Act = Arc<dyn Fn(&Viewed) + Send + Sync>;

impl Viewed {
    /// Nobody disturbs a rule by chance.
    pub(crate) fn calm(mut self) -> Self {
        self.is_calm = true;
        self
    }

    /// Has others act before a load or a commit: each after so many of these points, counted from the act before.
    pub(crate) fn interrupt(&self, acts: impl IntoIterator<Item = (usize, Act)>) {
        *self.meanwhile.lock() = acts.into_iter().collect();
    }

    /// So many acts have not had their turn.
    pub(crate) fn left_out(&self) -> usize {
        std::mem::take(&mut *self.meanwhile.lock()).len()
    }

    /// A point between two steps of the server.
    pub(crate) fn meet(&self) {
        let act = {
            let mut acts = self.meanwhile.lock();
            match acts.front_mut() {
                Some((0, _)) => acts.pop_front().map(|(_, act)| act),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some(act) = act {
            act(self);
        }
    }
}
