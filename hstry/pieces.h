// The whole of long parts, in pieces by byte offset (table part_pieces).
#pragma once
#include <string>

#include "base/result.h"
#include "hstry/sqlite.h"

namespace hstry::service {
class GetPartRequest;
class GetPartResponse;
class PutPartRequest;
}  // namespace hstry::service

namespace oqto::hstry {

// Errc::invalid, Errc::limit: it can never be taken. The same piece again replaces itself.
Status insert_piece(const Database& db, const std::string& conversation,
                    const ::hstry::service::PutPartRequest& piece);
// Errc::not_found: nothing of this part was put.
Status read_pieces(const Database& db, const std::string& conversation,
                   const ::hstry::service::GetPartRequest& wanted, ::hstry::service::GetPartResponse& out);

// For a fork: the messages below an idx, with ids that end with `suffix`, and then what belongs to them.
Status copy_messages(const Database& db, const std::string& from, const std::string& to, std::int64_t before_idx,
                     const std::string& suffix);
Status copy_pieces(const Database& db, const std::string& from, const std::string& to, const std::string& suffix);

}  // namespace oqto::hstry
