//! Values that jobs ask for by type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;

/// Shared values by their type, one of each; jobs receive them through [`State`](super::State).
#[derive(Default)]
pub struct Providers {
    values: HashMap<TypeId, (&'static str, Box<dyn Any + Send + Sync>)>,
}

impl Providers {
    /// Puts `value` in place and says whether one of its type was there before.
    pub(crate) fn insert<T: Any + Send + Sync>(&mut self, value: T) -> bool {
        self.values.insert(TypeId::of::<T>(), (std::any::type_name::<T>(), Box::new(value))).is_some()
    }

    /// The value of type `T`.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.1.downcast_ref()
    }

    pub(crate) fn has(&self, wanted: TypeId) -> bool {
        self.values.contains_key(&wanted)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.values().map(|(name, _)| name)).finish()
    }
}
