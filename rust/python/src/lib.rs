//! Python bindings of the runtime.
