// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {Signing} from "../Signing.sol";

/// @notice What the market's own events say of every job's and every seat's money, kept beside what it stores (P1.4).
abstract contract Books is Signing {
    mapping(bytes32 id => uint256) public cameIn; // Locked and Slashed
    mapping(bytes32 id => uint256) public wentOut; // Paid, burned money included
    mapping(uint32 seat => uint256) public staked; // what Staked, Slashed and Unstaked leave
    mapping(uint32 seat => uint256) public opensAt; // when the stake of an exiting seat may leave
    mapping(bytes32 id => uint256) public settlements;
    mapping(bytes32 id => bytes32) public atSettlement; // hash of the job as it was then
    uint256 public burned;

    // What has been reached: invariants over states nobody reaches say nothing.
    mapping(bytes32 topic => uint256) public seen;
    mapping(State => uint256) public entered;
    mapping(Outcome => uint256) public outcomes;
    mapping(Purpose => uint256) public payments;
    mapping(uint8 round => uint256) public decided;

    /// @dev The first promise an event showed broken; a failed assertion in a handler would only be a revert.
    string public broken;

    modifier booked() {
        vm.recordLogs();
        _;
        _book(vm.getRecordedLogs());
    }

    function _book(Vm.Log[] memory logs) internal {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter == address(market)) _bookOne(logs[i].topics, logs[i].data);
        }
    }

    function _bookOne(bytes32[] memory topics, bytes memory data) private {
        bytes32 kind = topics[0];
        ++seen[kind];
        if (kind == Locked.selector) {
            cameIn[topics[1]] += abi.decode(data, (uint256));
        } else if (kind == Paid.selector) {
            _bookPaid(topics[1], Purpose(uint256(topics[3])), abi.decode(data, (uint256)));
        } else if (kind == Slashed.selector) {
            _bookSlashed(topics[1], uint32(uint256(topics[2])), data);
        } else if (kind == Moved.selector) {
            (State state,,) = abi.decode(data, (State, uint8, uint40));
            ++entered[state];
        } else if (kind == RoundScored.selector) {
            (uint8 round,) = abi.decode(data, (uint8, bytes32));
            ++decided[round];
        } else if (kind == Settled.selector) {
            _bookSettled(topics[1], data);
        } else {
            _bookSeat(kind, uint32(uint256(topics[1])), data);
        }
    }

    function _bookPaid(bytes32 id, Purpose purpose, uint256 amount) private {
        if (amount == 0) broken = "a receipt for nothing";
        wentOut[id] += amount;
        ++payments[purpose];
        if (purpose == Purpose.Burned) burned += amount;
        if (settlements[id] != 0) broken = "paid after the settlement";
    }

    function _bookSlashed(bytes32 id, uint32 seat, bytes memory data) private {
        (, uint256 amount) = abi.decode(data, (uint8, uint256));
        if (amount == 0) broken = "a fine of nothing";
        cameIn[id] += amount;
        if (amount > staked[seat]) broken = "slashed more than was locked";
        else staked[seat] -= amount;
    }

    function _bookSettled(bytes32 id, bytes memory data) private {
        (Outcome outcome,) = abi.decode(data, (Outcome, bytes32));
        ++outcomes[outcome];
        ++settlements[id];
        ++entered[State.Settled];
        atSettlement[id] = keccak256(abi.encode(market.getJob(id)));
    }

    function _bookSeat(bytes32 kind, uint32 seat, bytes memory data) private {
        if (kind == Staked.selector) {
            if (staked[seat] != 0) broken = "a seat was taken twice";
            (staked[seat], opensAt[seat]) = (STAKE, 0);
        } else if (kind == Exiting.selector) {
            opensAt[seat] = abi.decode(data, (uint40));
        } else if (kind == Unstaked.selector) {
            if (opensAt[seat] == 0 || vm.getBlockTimestamp() < opensAt[seat]) broken = "stake left while locked";
            if (abi.decode(data, (uint256)) != staked[seat]) broken = "another sum left than was there";
            staked[seat] = 0;
        }
    }
}
