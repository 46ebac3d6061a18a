// How room and threads are shared among accounts.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <mutex>
#include <semaphore>
#include <vector>

#include "gateway/memory_budget.h"
#include "gateway/workers.h"

namespace oqto::gateway {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr auto kBodies = MemoryBudget::kBodies;

TEST(MemoryBudget, AttackAccountsThatTakeAllTheyCanLeaveEveryOtherItsFloorAndAShare) {
  MemoryBudget budget(kBodies);
  std::vector<std::unique_ptr<MemoryBudget::Hold>> holds;
  for (std::uint32_t account = 0; account < 6; ++account) {
    for (int i = 0; i < 1000; ++i) {
      holds.push_back(std::make_unique<MemoryBudget::Hold>(budget, account));
      if (!holds.back()->resize(kMiB)) break;
    }
  }
  MemoryBudget::Hold floor(budget, 100);
  EXPECT_TRUE(floor.resize(kBodies.floor));
  MemoryBudget::Hold more(budget, 101);
  EXPECT_TRUE(more.resize(32 * kMiB)) << "as large as a body may be";
  for (std::uint32_t account = 200; account < 300; ++account) {
    holds.push_back(std::make_unique<MemoryBudget::Hold>(budget, account));
    EXPECT_TRUE(holds.back()->resize(kBodies.floor)) << account;
    while (holds.back()->resize(kMiB)) holds.push_back(std::make_unique<MemoryBudget::Hold>(budget, account));
  }
  MemoryBudget::Hold last(budget, 300);
  EXPECT_TRUE(last.resize(kBodies.floor));
  holds.clear();
  EXPECT_TRUE(more.resize(kBodies.share)) << "what was given back is free again";
  EXPECT_FALSE(more.resize(kBodies.share + kBodies.floor + 1)) << "and no account has more than its share";
}

TEST(MemoryBudget, WhatIsRefusedChangesNothing) {
  MemoryBudget budget(kBodies);
  MemoryBudget::Hold hold(budget, 1);
  EXPECT_TRUE(hold.resize(4 * kMiB));
  EXPECT_FALSE(hold.resize(4 * kBodies.pool));
  hold.release();
  EXPECT_TRUE(hold.resize(kBodies.share));
}

// The jobs of an account that has many are done between those of others, and no small one waits for a large one.
TEST(Workers, AccountsTakeTurnsAndSmallJobsPassLargeOnes) {
  asio::io_context io;
  Workers workers(io);
  std::counting_semaphore<> large_may_end(0), begun(0), small_may_end(0);
  std::mutex mutex;
  std::vector<std::uint32_t> order;
  int done = 0;
  const auto add = [&](std::uint32_t account, std::size_t bytes, std::function<void()> job) {
    asio::co_spawn(
        io,
        [&, account, bytes, job]() -> asio::awaitable<void> {
          std::function<void()> work = job;
          const bool good = co_await workers.run(account, bytes, std::move(work));
          EXPECT_TRUE(good);
          ++done;
        },
        asio::detached);
  };
  add(1, 32 * kMiB, [&] { begun.release(), large_may_end.acquire(); });
  add(1, 1, [&] { begun.release(), small_may_end.acquire(); });
  io.poll();
  begun.acquire();
  begun.acquire();  // one thread has the large one, the other a small one
  for (int i = 0; i < 5; ++i) {
    add(1, 1, [&] {
      const std::scoped_lock lock(mutex);
      order.push_back(1);
    });
  }
  add(2, 1, [&] {
    const std::scoped_lock lock(mutex);
    order.push_back(2);
  });
  io.poll();
  small_may_end.release();
  const auto guard = asio::make_work_guard(io);
  while (done < 7) io.run_one();
  EXPECT_EQ(order, (std::vector<std::uint32_t>{1, 2, 1, 1, 1, 1})) << "while the large one is still being done";
  large_may_end.release();
  while (done < 8) io.run_one();
}

TEST(Workers, AJobThatFindsNoMemoryIsRefusedAndTheNextOneDone) {
  asio::io_context io;
  Workers workers(io);
  std::vector<bool> answers;
  for (const bool fails : {true, false}) {
    asio::co_spawn(
        io,
        [&, fails]() -> asio::awaitable<void> {
          std::function<void()> work = [fails] {
            if (fails) throw std::bad_alloc();
          };
          const bool good = co_await workers.run(1, 1, std::move(work));
          answers.push_back(good);
        },
        asio::detached);
  }
  const auto guard = asio::make_work_guard(io);
  while (answers.size() < 2) io.run_one();
  EXPECT_EQ(std::ranges::count(answers, true), 1);
}

}  // namespace
}  // namespace oqto::gateway
