// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {IMarketBase} from "../src/interfaces/IMarketBase.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Messages} from "../src/libraries/Messages.sol";
import {Payout} from "../src/libraries/Payout.sol";

/// @notice tests/vectors/*.json, computed by Python, against the contracts: both sides hash, draw and pay alike.
contract VectorsTest is Base {
    /// @dev A market at the vectors' address, on their chain: both are part of every typed hash.
    function _load(string memory name) private returns (string memory json, uint256 count) {
        json = vm.readFile(string.concat("tests/vectors/", name, ".json"));
        address where = vm.parseJsonAddress(json, ".market");
        vm.chainId(vm.parseJsonUint(json, ".chainId"));
        address resolution = _deployResolution(address(token), STAKE, 0.01e18, address(0), _limits());
        deployCodeTo("Market.sol:Market", abi.encode(resolution), where);
        market = IMarket(where);
        count = vm.parseJsonUint(json, ".count");
        assertGt(count, 0);
    }

    function _at(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "].", field);
    }

    function test_terms_haveTheIdPythonGives() public {
        (string memory json, uint256 count) = _load("terms");
        for (uint256 i; i < count; ++i) {
            JobTerms memory terms = abi.decode(vm.parseJsonBytes(json, _at(i, "abi")), (JobTerms));
            assertEq(market.hashTerms(terms), vm.parseJsonBytes32(json, _at(i, "job")));
        }
    }

    function test_bids_haveTheDigestPythonSigns() public {
        (string memory json, uint256 count) = _load("bid");
        for (uint256 i; i < count; ++i) {
            Bid memory bid = abi.decode(vm.parseJsonBytes(json, _at(i, "abi")), (Bid));
            assertEq(market.hashBid(bid), vm.parseJsonBytes32(json, _at(i, "digest")));
        }
    }

    function test_outcomes_haveTheDigestPythonSigns() public {
        (string memory json, uint256 count) = _load("outcome");
        for (uint256 i; i < count; ++i) {
            AgreedLane[] memory lanes = abi.decode(vm.parseJsonBytes(json, _at(i, "abi")), (AgreedLane[]));
            bytes32 job = vm.parseJsonBytes32(json, _at(i, "job"));
            uint64 validUntil = uint64(vm.parseJsonUint(json, _at(i, "validUntil")));
            OutcomeHarness harness = new OutcomeHarness();
            bytes32 outcome = harness.outcome(job, validUntil, lanes);
            assertEq(outcome, _outcomeOf(job, validUntil, lanes));
            assertEq(_digest(outcome), vm.parseJsonBytes32(json, _at(i, "digest")));
        }
    }

    function test_commits_areHashedAsPythonDoes() public {
        (string memory json, uint256 count) = _load("commit");
        for (uint256 i; i < count; ++i) {
            // The library hashes its caller's address: lend it the vectors' one.
            bytes memory harness = type(CommitHarness).runtimeCode;
            vm.etch(address(market), harness);
            bytes32 hash = CommitHarness(address(market))
                .commitment(
                    vm.parseJsonBytes32(json, _at(i, "job")),
                    uint8(vm.parseJsonUint(json, _at(i, "round"))),
                    uint32(vm.parseJsonUint(json, _at(i, "seat"))),
                    vm.parseJsonBytes32(json, _at(i, "vote")),
                    vm.parseJsonBytes32(json, _at(i, "evidence")),
                    vm.parseJsonBytes32(json, _at(i, "salt"))
                );
            assertEq(hash, vm.parseJsonBytes32(json, _at(i, "hash")));
        }
    }

    /// @dev No contract recomputes this word: the seats do, off chain. IMarket.submit says how.
    function test_submitWords_areHashedAsTheInterfaceSays() public {
        (string memory json, uint256 count) = _load("submit");
        for (uint256 i; i < count; ++i) {
            bytes32 word = keccak256(
                abi.encode(
                    vm.parseJsonBytes32(json, _at(i, "job")),
                    vm.parseJsonAddress(json, _at(i, "provider")),
                    vm.parseJsonBytes32(json, _at(i, "weights_hash")),
                    vm.parseJsonBytes32(json, _at(i, "sealed_hash")),
                    vm.parseJsonBytes32(json, _at(i, "half_b_hash")),
                    vm.parseJsonBytes32(json, _at(i, "envelope_hash"))
                )
            );
            assertEq(word, vm.parseJsonBytes32(json, _at(i, "word")));
        }
    }

    function test_draws_takeTheSeatsPythonTakes() public {
        (string memory json, uint256 count) = _load("draw");
        for (uint256 i; i < count; ++i) {
            uint256[] memory expected = vm.parseJsonUintArray(json, _at(i, "seats"));
            uint32[] memory seats = _draw(json, i);
            assertEq(seats.length, expected.length);
            for (uint256 place; place < seats.length; ++place) {
                assertEq(seats[place], expected[place]);
            }
        }
    }

    function test_payouts_areThoseOfPython() public {
        (string memory json, uint256 count) = _load("payout");
        assertEq(count, 100);
        for (uint256 i; i < count; ++i) {
            uint256 payout = Payout.ofScoreDown(
                uint96(vm.parseJsonUint(json, _at(i, "bid"))),
                uint32(vm.parseJsonUint(json, _at(i, "floor"))),
                uint32(vm.parseJsonUint(json, _at(i, "target"))),
                uint32(vm.parseJsonUint(json, _at(i, "floorPay"))),
                uint32(vm.parseJsonUint(json, _at(i, "score")))
            );
            assertEq(payout, vm.parseJsonUint(json, _at(i, "payout")));
        }
    }

    function _draw(string memory json, uint256 i) private pure returns (uint32[] memory seats) {
        bytes32 seed = vm.parseJsonBytes32(json, _at(i, "seed"));
        bytes32 job = vm.parseJsonBytes32(json, _at(i, "job"));
        uint8 round = uint8(vm.parseJsonUint(json, _at(i, "round")));
        uint32 among = uint32(vm.parseJsonUint(json, _at(i, "seatCount")));
        uint256 dead = vm.parseJsonUint(json, _at(i, "dead"));
        seats = new uint32[](vm.parseJsonUint(json, _at(i, "size")));
        uint256 drawn;
        for (uint256 k; k < Committee.TRIES * seats.length && drawn < seats.length; ++k) {
            uint32 seat = Committee.candidate(seed, job, round, k, among);
            bool isNew = seat >= dead;
            for (uint256 j; j < drawn; ++j) {
                isNew = isNew && seats[j] != seat;
            }
            if (isNew) seats[drawn++] = seat;
        }
        for (; drawn < seats.length; ++drawn) {
            seats[drawn] = Committee.VACANT;
        }
    }
}

/// @notice Messages.commitment at an address of the test's choice.
contract CommitHarness {
    function commitment(bytes32 job, uint8 round, uint32 seat, bytes32 vote, bytes32 evidence, bytes32 salt)
        external
        view
        returns (bytes32)
    {
        return Messages.commitment(job, round, seat, vote, evidence, salt);
    }
}

/// @notice The library's hash, which reads calldata.
contract OutcomeHarness {
    function outcome(bytes32 job, uint64 validUntil, IMarketBase.AgreedLane[] calldata lanes)
        external
        pure
        returns (bytes32)
    {
        return Messages.outcome(job, validUntil, lanes);
    }
}
