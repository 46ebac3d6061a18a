// The history's database.
#pragma once
#include "sqlite/sqlite.h"

namespace oqto::hstry {

using sqlite::Database;
using sqlite::execute;
using sqlite::sqlite_error;
using sqlite::Statement;

}  // namespace oqto::hstry
