// From what a program was refused to the smallest policy that would not have refused it.
#pragma once
#include <set>

#include "sandbox_cli/learn_watch.h"
#include "sandbox_cli/setup.h"

namespace oqto::sandbox_cli {

class Services;

// Makes refusals visible that nobody would see otherwise, without granting anything: in mode
// `isolated` names are not even looked up.
void prepare_learning(Setup& setup);

// The sandbox that was learned in.
struct LearnFrom {
  std::vector<std::string> shown;  // paths inside, the home apart: they and what is below are there
  std::string home, private_home;
};
LearnFrom learn_from(const Setup& setup);

struct Proposal {
  std::set<std::string> read, write;           // as policies spell paths
  std::set<std::string> secrets;               // wanted, and not proposed
  std::set<std::string> domains;               // "NAME:PORT"
  std::map<std::string, std::uint64_t> calls;  // refused; no policy grants them
  [[nodiscard]] bool empty() const { return read.empty() && write.empty() && domains.empty(); }
};
Proposal conclude(const LearnFrom& from, const Learned& learned, const std::string& network_lines);
std::string proposal_toml(const Proposal& proposal);

// Prints it, or writes it to options.write. `status` is how the program ended.
int propose(const Options& options, const LearnFrom& from, const Services& services, int status);

}  // namespace oqto::sandbox_cli
