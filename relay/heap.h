// Memory that the connection processes share with the listener, as long as neither writes to it.
#pragma once

namespace oqto::relay {

// Takes, for good, every free piece inside the heap. A connection process then allocates above it,
// on a few pages of its own, instead of copying a shared page for each hole it would fill: measured
// to save about 70 KiB per connection.
void fill_heap_holes();

}  // namespace oqto::relay
