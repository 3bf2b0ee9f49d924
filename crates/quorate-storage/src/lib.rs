//! LUN drivers of quorate: the only unsafe code outside bindings/.
